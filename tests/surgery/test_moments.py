"""What is collected of kernels' inputs, and of what they matter."""

import keras
import numpy as np
import pytest
from keras import layers as L

import hh_keras as hh
from hh_keras.surgery.moments import collect, rows_read
from hh_keras.surgery.readers import readers

pytestmark = pytest.mark.core  # each is compiled, which takes a moment


def test_kernels_that_read_one_tensor_in_other_ways_have_moments_of_their_own():
    x = L.Conv2D(4, 1, name="read")(i := keras.Input((9, 9, 3)))
    ends = [
        L.Conv2D(2, 3, name="plain")(x),
        L.Conv2D(2, 3, 2, name="strides")(x),
        L.Conv2D(2, 3, padding="same", name="padding")(x),
        L.Conv2D(2, 3, dilation_rate=2, name="dilation")(x),
        L.Conv2D(2, (3, 1), name="high")(x),
        L.SeparableConv2D(2, 3, name="separable")(x),
    ]
    model = keras.Model(i, ends)
    data = np.random.default_rng(0).normal(size=(2, 2, 9, 9, 3)).astype("float32")
    found = [r for r in readers(hh.trace(model)) if r.path != "read"]
    moments = collect(model, found, data)
    positions = {name: int(each.counts.sum()) // 4 for name, each in moments.items()}
    assert positions == {
        "plain": 7 * 7,
        "strides": 4 * 4,
        "padding": 9 * 9,
        "dilation": 5 * 5,
        "high": 7 * 9,
        "separable": 7 * 7,
    }
    read = model.get_layer("read")(np.concatenate(data))
    for reader in found:
        rows = np.asarray(rows_read(reader, reader.op, read, len(reader.ids)))
        np.testing.assert_allclose(
            moments[reader.name].whole, rows.T @ rows / len(rows), rtol=1e-4, atol=1e-4
        )


def test_a_single_batch_is_both_halves():
    x = L.Conv2D(4, 1, name="read")(i := keras.Input((5, 5, 3)))
    model = keras.Model(i, L.Conv2D(2, 3, name="head")(x))
    data = [np.random.default_rng(0).normal(size=(6, 5, 5, 3)).astype("float32")]
    found = collect(model, readers(hh.trace(model)), data)["head"]
    assert found.counts.tolist() == [27, 27]  # of 6 examples with 9 positions
    np.testing.assert_array_equal(found.halves[0], found.halves[1])
    assert found.whole[-1, -1] == 1  # the mean of ones


@pytest.mark.parametrize("flat", [False, True])
def test_energy_and_removal_are_slopes_at_outputs_and_along_scales(flat):
    """Of the sum of all outputs, for a kernel that reads 4 positions of 3 channels."""
    x = L.Dense(3, name="made")(i := keras.Input((4, 2)))
    if flat:
        x = L.Flatten(name="flat")(x)
    model = keras.Model(i, L.Dense(1, name="head")(x))
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(count, 4, 2)).astype("float32") for count in (2, 3)]
    reader = next(r for r in readers(hh.trace(model)) if r.path == "head")
    found = collect(model, [reader], data, lambda ends, _: keras.ops.sum(ends[0]))
    made = np.concatenate([np.asarray(model.get_layer("made")(x)) for x in data])
    kernel = np.asarray(model.get_layer("head").kernel).reshape(-1, 3)  # (4 or 1, 3)
    along = (made * kernel).sum(1)  # (examples, 3)
    np.testing.assert_allclose(found["head"].removal, (along**2).sum() / 5, rtol=1e-5)
    np.testing.assert_allclose(found["head"].energy, [1 if flat else 4])
