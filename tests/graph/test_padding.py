"""Padded channels: planes of a constant beside them, which are channels too."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

import hh_keras as hh
from hh_keras import export
from tests.graph.test_operations import rebuilt_like_masked
from tests.surgery.test_invariants import assert_same, random_plan
from tests.zoo import ZOO, example, randomize


def planes(before, after, mode="constant", value=None):
    widths = ((0, 0), (0, 0), (0, 0), (before, after))
    return lambda x: ops.pad(x, widths, mode, value)


def network(block, first=6):
    i = keras.Input((6, 6, 3))
    x = block(L.Conv2D(first, 3, name="first")(i))
    x = L.Conv2D(5, 1, name="reader")(x)
    return randomize(keras.Model(i, L.Dense(3)(L.GlobalAveragePooling2D()(x))))


def stream():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, padding="same", name="stem")(i)
    y = L.ReLU()(L.Conv2D(7, 3, 2, "same", name="inner")(x))
    y = L.Conv2D(9, 3, padding="same", name="first")(y)
    x = L.ReLU()(L.Add()([planes(2, 3)(L.AveragePooling2D(1, 2)(x)), y]))
    x = L.Add()([x, L.Conv2D(9, 1, name="second")(x)])
    return randomize(keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x))))


def widths(model):
    return [op.pad_width[-1] for op in model.operations if hasattr(op, "pad_width")]


def test_planes_go_with_what_they_are_summed_with():
    channels = hh.trace(stream())
    assert [(g.name, len(g), g.producers) for g in channels.groups if not g.frozen] == [
        ("stem", 4, ("stem", "first", "second")),
        ("inner", 7, ("inner",)),
        ("first", 5, ("first", "second")),
    ]
    made = channels.outputs["first"]
    np.testing.assert_array_equal(made[2:6], channels.outputs["stem"])
    assert "adds 5 planes of a constant" in channels.explain("pad*")


@pytest.mark.parametrize("gone", [(), (0,), (0, 1), (1, 7, 8), (6, 7, 8), (3, 7)])
def test_amounts_follow_the_planes_that_stay(gone):
    model, x = stream(), example(stream())
    channels = hh.trace(model)
    keep = np.ones(channels.size, bool)
    keep[channels.outputs["first"][list(gone)]] = False
    plan = hh.Plan.of(channels, keep)
    small = hh.rebuild(model, plan)
    before, after = (sum(k in gone for k in side) for side in ((0, 1), (6, 7, 8)))
    assert widths(small) == [[2 - before, 3 - after]]
    assert_same(hh.mask(model, plan)(x), small(x))


def test_planes_that_nothing_is_added_to_are_removable():
    model = network(lambda x: L.BatchNormalization()(planes(1, 4, value=0.7)(x)))
    channels = hh.trace(model)
    name = next(op.name for op in model.operations if hasattr(op, "pad_width"))
    group = channels.group(name)
    assert (len(group), group.producers, group.consumers) == (5, (), ("reader",))
    assert group.frozen is None and channels.removable[list(group.ids)].all()
    scores = hh.score_channels(model, criterion="weight_norm")
    assert not scores[list(group.ids)].any() and scores[group.ids.start - 1] > 0
    rebuilt_like_masked(model)


class Shortcut(L.Layer):
    def __init__(self, width):
        super().__init__()
        self.width, self.conv = width, L.Conv2D(width, 3, 2, "same")

    def call(self, x):
        missing = self.width - x.shape[-1]
        sides = [[0, 0], [0, 0], [0, 0], [missing // 2, missing - missing // 2]]
        return tf.nn.relu(self.conv(x) + tf.pad(x[:, ::2, ::2], sides))


def twice(x):
    i = keras.Input((4, 4, 6))
    inner = keras.Model(i, planes(1, 2)(L.ReLU()(i)))
    return inner(x) + inner(L.Conv2D(6, 1)(x))


def channels_first(x):
    x = L.Permute((3, 1, 2))(x)
    x = ops.pad(x, ((0, 0), (3, 0), (1, 0), (0, 2)))
    return L.Permute((2, 3, 1))(x)


FORMS = {
    "one value": planes(2, 3, value=-1.5),
    "space too": lambda x: ops.pad(x, np.array([[0, 0], [1, 1], [0, 2], [1, 2]])),
    "to both sides": lambda x: planes(0, 6)(x) + planes(6, 0)(x),
    "twice": lambda x: planes(1, 0)(planes(2, 3)(x)),
    "groups": lambda x: L.Conv2D(9, 1, groups=3)(planes(2, 1)(x)),
    "depthwise": lambda x: L.DepthwiseConv2D(2, depth_multiplier=2)(planes(2, 1)(x)),
    "joined": lambda x: planes(2, 1)(L.Concatenate()([L.Conv2D(4, 1)(x), x])),
    "in a class": lambda x: Shortcut(15)(Shortcut(10)(x)),
    "in a model": twice,
    "channels first": channels_first,
}


@pytest.mark.parametrize("form", FORMS)
def test_channels_and_planes_can_leave(form):
    model = network(FORMS[form])
    channels = hh.trace(model)
    assert not any(g.frozen for g in channels.groups if g.consumers and g.ids.start > 2)
    rebuilt_like_masked(model)
    wide = hh.widen(model, 2, "preserve")
    assert_same(model(example(model)), wide(example(model)))


def with_a_pixel(x):
    return planes(1, 2, value=L.Dense(1)(x)[0, 0, 0, 0])(x)


STAY = {
    "mode 'reflect'": planes(2, 3, "reflect"),
    "mode 'symmetric'": planes(2, 3, "symmetric"),
    "value that is computed": with_a_pixel,
}


@pytest.mark.parametrize("why", STAY)
def test_channels_stay_if_what_is_put_beside_them_is_made_of_something(why):
    model = network(STAY[why])
    assert why in hh.trace(model).group("first").frozen
    rebuilt_like_masked(model)


def test_padding_that_no_backend_does_is_not_followed():
    i = keras.Input((6, 6, 3))
    x = planes(-1, 2)(L.Conv2D(6, 3, name="first")(i))
    assert hh.trace(keras.Model(i, L.Conv2D(5, 1)(x))).group("first").frozen


def test_beside_a_single_channel_there_cannot_be_a_second_one():
    model = network(planes(2, 2), 1)
    assert "single channel" in hh.trace(model).group("first").frozen
    wide = hh.widen(model, 2, "preserve")
    assert_same(model(example(model)), wide(example(model)))


def test_files_of_such_networks_need_nothing_else(tmp_path):
    model = randomize(ZOO["padded_shortcuts"]())
    small, x = hh.rebuild(model, random_plan(model)), example(model)
    for name, each in (("whole", model), ("small", small)):
        each.save(tmp_path / f"{name}.keras")
    np.savez(tmp_path / "known.npz", x=x, y=small(x), keep=random_plan(model).keep)
    code = """
import sys, keras, numpy as np
known = np.load(sys.argv[1] + "/known.npz")
small = keras.models.load_model(sys.argv[1] + "/small.keras")
np.testing.assert_allclose(small(known["x"]), known["y"], rtol=1e-5, atol=1e-6)
assert "hh_keras" not in sys.modules
import hh_keras as hh
model = keras.models.load_model(sys.argv[1] + "/whole.keras")
again = hh.rebuild(model, hh.Plan.of(hh.trace(model), known["keep"]))
np.testing.assert_allclose(again(known["x"]), known["y"], rtol=1e-5, atol=1e-6)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("quantize", ["float32", "int8"])
def test_files_for_phones(quantize, tmp_path):
    model = randomize(ZOO["padded_shortcuts"]())
    small, x = hh.rebuild(model, random_plan(model)), example(model, 16)
    path = export.tflite(
        small, tmp_path / "small.tflite", quantize=quantize, representative=x
    )
    limit = {"float32": 1e-5, "int8": 0.1}[quantize]
    assert export.parity(small, path, x).relative < limit
