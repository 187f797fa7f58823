"""Backbones of keras-hub, built from their classes: no preset, no download.

The benchmark behind docs/coverage.md has all of them.
"""

import keras
import numpy as np
import pytest

import hh_keras as hh
from tests.surgery.test_invariants import assert_same
from tests.zoo import example, randomize

pytest.importorskip("keras_hub")
build = pytest.importorskip("keras_hub_backbones").build

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", ["DINOV3", "Gemma"])
def test_backbones_shrink_to_half_and_their_files_load(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = randomize(build(name, 32))
    channels, macs = hh.trace(model), hh.cost(model).macs
    stay = {g.frozen.split(": ")[-1] for g in channels.groups if g.frozen}
    assert all(reason.startswith(("model input", "model output")) for reason in stay)
    scores = hh.score_channels(model, criterion="random")
    budget = hh.Budget(macs=0.5 * macs)
    plan = hh.select_channels(channels, scores, budget, min_keep=0.0)
    small = hh.rebuild(model, plan)
    cost = hh.cost(small)
    assert cost.macs == round(plan.notes["macs"]) <= budget.macs
    assert cost.params == small.count_params()
    x = example(model)
    assert_same(hh.mask(model, plan)(x), small(x))
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    for a, b in zip(small(x), loaded(x), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
