"""Sparse search: scales fall to zero, the cost with them."""

import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import hh_keras as hh
from hh_keras.search.sparse import surviving
from hh_keras.surgery.channel_scale import scale_layer
from hh_keras.training import Recipe, strategy
from tests.classifiers import train_scales

L = keras.layers
RECIPE = Recipe(epochs=12, batch_size=16, learning_rate=0.1, schedule="constant")


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    x = L.Conv2D(16, 3, activation="relu")(L.Rescaling(1 / 255)(inputs))
    x = L.Conv2D(16, 3, activation="relu", name="second")(x)
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def images():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 128).astype("int32")
    pixels = rng.uniform(0, 60, (128, 6, 6, 1)) + 90 * labels[:, None, None, None]
    data = tf.data.Dataset.from_tensor_slices((pixels.astype("float32"), labels))
    return types.SimpleNamespace(train=data.batch(16), validation=data.batch(16))


@pytest.mark.parametrize("replicas", [1, 2])
def test_scales_fall_to_zero_until_the_budget_is_reached(replicas, tmp_path):
    where = strategy("mirrored", 2) if replicas == 2 else strategy("default")
    with where.scope():
        model = network()
    before = hh.cost(model)
    budget = hh.Budget(macs=0.6 * before.macs)
    settings = {"workdir": tmp_path, "name": "search", "tensorboard": tmp_path / "tb"}
    scaled, rows = train_scales(model, images(), RECIPE, None, budget, **settings)
    assert rows[-1]["macs"] <= budget.macs < rows[0]["macs"]
    assert len(rows) < RECIPE.epochs
    assert [row["macs"] for row in rows] == sorted(
        (r["macs"] for r in rows), reverse=True
    )
    gamma = keras.ops.convert_to_numpy(scale_layer(scaled).gamma)
    channel_map = hh.trace(model)
    assert (gamma[channel_map.removable] == 0).mean() == pytest.approx(
        rows[-1]["zeros"], abs=1e-6
    )
    scores = hh.score_channels(scaled, criterion="magnitude")
    plan = hh.select_channels(hh.trace(scaled), scores, budget, min_keep=0.05)
    small = hh.rebuild(scaled, plan)
    assert hh.cost(small).macs <= budget.macs
    history = (tmp_path / "history/search.jsonl").read_text().splitlines()
    assert json.loads(history[-1])["macs"] == rows[-1]["macs"]
    assert list((tmp_path / "tb").iterdir())


def test_what_survives_is_what_a_rebuilt_network_costs():
    model = network()
    channel_map = hh.trace(model)
    gamma = np.ones(channel_map.size)
    gamma[channel_map.outputs["second"][:10]] = 0
    left = surviving(channel_map, gamma)
    plan = hh.Plan.of(channel_map, (gamma != 0) | ~channel_map.removable)
    from hh_keras.graph.cost_model import cost_model

    cost = hh.cost(hh.rebuild(model, plan))
    assert cost_model(channel_map)(left) == (cost.macs, cost.params)
    assert surviving(channel_map, gamma * 0).min() == 1


def test_shrink_scores_the_prepared_network():
    model = network()
    seen = []

    def prepare(wide):
        seen.append(wide)
        return train_scales(wide, images(), Recipe(epochs=1, batch_size=16))[0]

    budget = hh.Budget(macs=0.5 * hh.cost(model).macs)
    settings = {"budget": budget, "prepare": prepare}
    fresh = hh.shrink(model, width=1.5, weights="fresh", **settings)
    inherited = hh.shrink(model, width=1, weights="inherit", **settings)
    assert seen[1] is model and seen[0].layers[2].bias.shape == (24,)
    for found in (fresh, inherited):
        assert found.plan.notes["criterion"] == "magnitude"
        assert hh.cost(found.model).macs <= budget.macs
    assert scale_layer(inherited.model) is None
