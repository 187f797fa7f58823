"""Weights that a class holds in lists, dicts and tuples, or out of sight."""

import collections
import types

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import hh_keras as hh
from hh_keras.errors import ModelError
from hh_keras.graph.opening.inline import opening
from tests.graph.test_inline import assert_equal
from tests.surgery.test_invariants import assert_same, random_plan
from tests.zoo import randomize

Pair = collections.namedtuple("Pair", "scale shift")
HELD = {
    "tuple": lambda a, b: (a, b),
    "named": Pair,
    "nested": lambda a, b: ({"scale": [a]}, ((b,), "text")),
    "dict": lambda a, b: {"both": [[a], (b, 3)]},
    "hidden": lambda a, b: types.SimpleNamespace(scale=a, shift=b),
}


def weights_in(value):
    if isinstance(value, types.SimpleNamespace):
        value = [value.scale, value.shift]
    if isinstance(value, (int, str)):
        return []
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return [value]
    return [x for item in value for x in weights_in(item)]


class Affine(keras.Model):
    """Scales and shifts channels twice by weights that are held in some way."""

    def __init__(self, how):
        super().__init__()
        self.conv, self.head = L.Conv2D(6, 3), L.Dense(2)
        pair = [self.add_weight((6,), "ones", name=n) for n in ("scale", "shift")]
        self.held = HELD[how](*pair)

    def call(self, x):
        scale, shift = weights_in(self.held)
        x = ops.relu(self.conv(x) * scale + shift)
        return self.head(ops.max(x, axis=(1, 2)))


def affine(how):
    model = Affine(how)
    model(np.zeros((1, 5, 5, 3), "float32"))
    return randomize(model)


@pytest.mark.parametrize("how", [h for h in HELD if h != "hidden"])
def test_weights_in_any_container_become_layers(how):
    model, x = affine(how), np.ones((2, 5, 5, 3), "float32")
    held = model.held
    found = opening(model)
    assert model.held is held and len(weights_in(held)) == 2
    assert all(isinstance(v, keras.Variable) for v in weights_in(held))
    assert len(found.weights) == 2 and not found.unused
    assert len(found.model.trainable_weights) == len(model.trainable_weights)
    assert_equal(model, found.model, x)
    plan = random_plan(model)
    small = hh.rebuild(model, plan)
    assert small.count_params() < model.count_params()
    assert_same(hh.mask(model, plan)(x), small(x))
    before = small(x)
    for weight in model.weights:
        weight.assign(weight + 1)
    np.testing.assert_array_equal(before, small(x))


def test_weights_out_of_sight_are_refused_by_name():
    with pytest.raises(ModelError, match=r"Affine uses weight '.*scale'.* no layer"):
        opening(affine("hidden"))


class ChannelsFirst(keras.Model):
    """Layer scale and a bias over axis 1."""

    def __init__(self):
        super().__init__()
        self.into, self.back = L.Permute((3, 1, 2)), L.Permute((2, 3, 1))
        self.conv, self.head = L.Conv2D(8, 3, padding="same"), L.Conv2D(3, 1)
        self.scale = self.add_weight((8, 1, 1), "ones", name="scale")
        self.bias = self.add_weight((1, 8, 1, 1), "zeros", name="bias")

    def call(self, x):
        y = self.into(self.conv(x)) * self.scale + self.bias
        return self.head(self.back(ops.relu(y)))


def test_channels_of_a_raw_weight_lie_on_its_long_axis():
    model, x = ChannelsFirst(), np.ones((2, 5, 5, 3), "float32")
    model(x)
    opened = opening(randomize(model)).model
    assert_equal(model, opened, x)
    (group,) = (g for g in hh.trace(opened).groups if len(g) == 8)
    assert not group.frozen
    plan = random_plan(opened)
    small = hh.rebuild(opened, plan)
    assert small.count_params() < opened.count_params()
    assert_same(hh.mask(opened, plan)(x), small(x))
