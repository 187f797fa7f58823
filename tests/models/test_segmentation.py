"""Networks that segment: what they cost, that they take tiles, and shrink exactly."""

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras import models
from hh_keras.errors import ModelError
from hh_keras.graph.reach import reach
from tests.zoo import randomize

COSTS = {
    "unet_bn": (224, 11, 9.258e9, 7.769e6),
    "unet_bn_small": (96, 6, 184.8e6, 0.2730e6),
    "mobilenetv2_aspp": (224, 11, 431.6e6, 1.4876e6),
    "mobilenetv2_aspp_small": (96, 6, 14.48e6, 0.2268e6),
}


def build(name, classes, **arguments):
    return models.build(name, (None, None, 3), classes, model_args=arguments)


@pytest.mark.parametrize("name", sorted(COSTS))
def test_costs_are_those_of_the_docstrings(name):
    side, classes, macs, params = COSTS[name]
    model = build(name, classes)
    cost = hh.cost(model, (side, side, 3))
    assert cost.macs == pytest.approx(macs, rel=1e-3)
    assert cost.params == pytest.approx(params, rel=1e-3)
    assert model.output_shape == (None, None, None, classes)
    assert hh.trace(model).removable_share > 0.99
    assert reach(model).scale == 1


SMALL = {
    "unet_bn": {"width": 8, "levels": 2},
    "mobilenetv2_aspp": {"width": 0.35, "head": 24},
}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_they_shrink_exactly(name):
    model = randomize(build(name, 4, **SMALL[name]))
    before = hh.cost(model, (64, 64, 3)).macs
    # Costs of a plan need a size; the channels are the same ones.
    sized = models.build(name, (64, 64, 3), 4, model_args=SMALL[name])
    scores = hh.score_channels(sized, criterion="random", seed=3)
    budget = hh.Budget(macs=0.6 * before)
    plan = hh.select_channels(hh.trace(sized), scores, budget)
    small, masked = hh.rebuild(model, plan), hh.mask(model, plan)
    assert hh.cost(small, (64, 64, 3)).macs <= 0.6 * before
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 32, 3)).astype("float32")
    wanted, found = (m.predict(images, verbose=0) for m in (masked, small))
    assert np.abs(found - wanted).max() <= 1e-5 * np.ptp(wanted)
    assert np.ptp(wanted) > 0


def test_names_and_arguments():
    assert models.list_models("segment") == sorted(COSTS)
    with pytest.raises(ModelError, match="at least 2"):
        build("unet_bn", None)
    grey = models.build("unet_bn_small", (32, 32, 1), 2)
    assert grey.output_shape == (None, 32, 32, 2) and isinstance(grey, keras.Model)
