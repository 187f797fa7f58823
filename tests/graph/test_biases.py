"""Arrays that Keras adds to channels or to positions, by nothing but their length."""

import keras
import numpy as np
import pytest
from keras import layers as L

import hh_keras as hh


def positions(kept_too, swapped=False):
    """Numbers for the rows of a map, and for the steps of a sequence behind it."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 1, 1)).astype("float32")
    steps = rng.normal(size=(5, 1)).astype("float32")
    i = keras.Input((6, 5, 3))
    x = L.Conv2D(6 if kept_too else 8, 3, padding="same", name="conv")(i)
    x = keras.ops.add(*((rows, x) if swapped else (x, rows)))
    x = L.Dense(7, name="dense")(keras.ops.mean(L.ReLU()(x), 1))
    x = x + steps
    return keras.Model(i, L.Dense(2, name="out")(L.Flatten()(L.ReLU()(x))))


@pytest.mark.parametrize("swapped", [False, True])
def test_as_many_channels_as_positions_may_be_left(swapped):
    model = positions(False, swapped)
    channels = hh.trace(model)
    sizes = {g.name: len(g) for g in channels.groups if g.frozen is None}
    assert sizes == {"conv": 8, "dense": 7}
    keep = np.ones(channels.size, bool)
    for group in channels.groups:
        if group.name in sizes:
            keep[group.ids.start : group.ids.start + 2] = False  # 6 rows, 5 steps
    plan = hh.Plan.of(channels, keep)
    masked, small = hh.mask(model, plan), hh.rebuild(model, plan)
    assert [small.get_layer(n).output.shape[-1] for n in sizes] == [6, 5]
    x = np.random.default_rng(1).normal(size=(3, 6, 5, 3))
    np.testing.assert_allclose(masked(x), small(x), rtol=1e-5, atol=1e-5)


def test_what_keras_adds_to_channels_by_mistake_keeps_them():
    groups = hh.trace(positions(True)).groups
    (conv,) = [g for g in groups if g.name == "conv"]
    assert "broadcasting adds to positions" in conv.frozen
