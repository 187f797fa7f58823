"""Arrays that Keras adds to channels or to positions, by nothing but their length."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

import hh_keras as hh
from hh_keras import export
from hh_keras.graph.closed import all_closed
from tests.zoo import randomize


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


def kept(model, name, number):
    """What `mask` and `rebuild` give where so many channels of a group stay."""
    channels = hh.trace(model)
    keep, ids = np.ones(channels.size, bool), channels.group(name).ids
    keep[ids.start + number : ids.stop] = False
    plan = hh.Plan.of(channels, keep)
    x = np.random.default_rng(2).normal(size=(1, *model.input_shape[1:]))
    return hh.mask(model, plan)(x), hh.rebuild(model, plan)(x)


def channels_first(filters):
    i = keras.Input((3, 7))
    first = {"data_format": "channels_first"}
    x = L.Conv1D(filters, 3, padding="same", activation="relu", name="c", **first)(i)
    x = L.GlobalAveragePooling1D(**first)(L.Conv1D(5, 3, **first)(x))
    return randomize(keras.Model(i, L.Dense(3)(x)))


def einsum():
    i = keras.Input((4, 6))
    heads = L.EinsumDense("btd,dhk->bthk", (4, 6, 3), bias_axes="h", name="c")(i)
    return randomize(keras.Model(i, L.Dense(2)(L.Reshape((4, 18))(L.ReLU()(heads)))))


def attention():
    i = keras.Input((4, 6))
    heads = L.MultiHeadAttention(4, 2, name="attend")(i, i)
    return randomize(keras.Model(i, L.Dense(2)(heads)))


def groups_of(model):
    return [g.name for g in hh.trace(model).groups if g.frozen is None]


@pytest.mark.parametrize("build", [lambda: channels_first(10), einsum, attention])
def test_biases_inside_layers_are_added_where_they_were_or_refused(build):
    """As many channels as positions: Keras' layers cannot tell one from the other."""
    model, refused, equal = build(), 0, 0
    channels = hh.trace(model)
    for name in groups_of(model):
        for number in range(1, len(channels.group(name))):
            try:
                masked, small = kept(model, name, number)
            except hh.ModelError as error:
                assert "as many channels as positions" in str(error)
                refused += 1
                continue
            np.testing.assert_allclose(masked, small, atol=1e-5)
            equal += 1
    assert refused and equal


def test_a_bias_that_keras_mistakes_already_keeps_the_layer():
    model = channels_first(7)
    with pytest.raises(hh.ModelError, match="'c' of the given model had as many"):
        kept(model, "c", 5)
    with pytest.raises(hh.ModelError, match="'c' of the new model has as many"):
        hh.widen(channels_first(5), 1.4, weights="preserve")
    masked, small = kept(model, "c", 7)
    np.testing.assert_array_equal(masked, small)


@pytest.mark.parametrize("layer", [L.Add, L.Average])
def test_sums_by_layers_are_as_broadcasting_has_them(layer):
    def build(filters):
        i = keras.Input(batch_shape=(1, 5, 4, 3))
        rows = L.Dense(1)(keras.ops.mean(i, 2))
        rows = keras.ops.reshape(rows, (1, 5, 1, 1))
        x = L.Conv2D(filters, 3, padding="same", name="c")(i)
        x = L.ReLU()(layer()([x, rows]))
        return randomize(keras.Model(i, L.Dense(2)(L.GlobalAveragePooling2D()(x))))

    for number in (4, 5, 6):
        np.testing.assert_allclose(*kept(build(8), "c", number), atol=1e-5)
    assert "broadcasting adds to positions" in hh.trace(build(5)).group("c").frozen


def test_a_trial_tries_as_many_channels_as_there_are_positions():
    class Rows(L.Layer):
        def build(self, shape):
            self.rows = self.add_weight(shape=(1, shape[1], 1), name="rows")

        def call(self, x):
            return keras.ops.add(x, self.rows)

    i = keras.Input((6, 3))
    x = L.ReLU()(Rows()(L.Dense(9, name="c")(i)))
    model = randomize(keras.Model(i, L.Dense(2)(x)))
    with all_closed():
        assert "other numbers" in hh.trace(model).group("c").frozen
    for number in (5, 6, 7):  # opened it is a sum
        np.testing.assert_allclose(*kept(model, "c", number), atol=1e-5)


def test_files_for_one_example_add_as_the_model_does_to_many(tmp_path):
    """With a batch of one a column of numbers looks like a bias."""
    i = keras.Input((5, 3))
    x = L.Dense(4)(i)
    squares = keras.ops.sum(x * x, -1, keepdims=True)
    across = keras.ops.transpose(squares, (0, 2, 1))
    products = keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1)))
    model = randomize(keras.Model(i, L.Add()([-2 * products + across, squares])))
    data = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    wanted = np.asarray(model(data))[:1]
    lite = tf.lite.Interpreter(str(export.tflite(model, tmp_path / "far.tflite")))
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], data[:1])
    lite.invoke()
    got = lite.get_tensor(lite.get_output_details()[0]["index"])
    np.testing.assert_allclose(got, wanted, atol=1e-4)
