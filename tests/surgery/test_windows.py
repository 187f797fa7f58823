"""A convolution is a matrix product of its windows."""

import keras
import numpy as np
import pytest
from keras import layers as L

from hh_keras.surgery.windows import LARGEST, window, windows

CONVOLUTIONS = {
    "same": (L.Conv2D(5, 3, padding="same", use_bias=False), (6, 7, 4)),
    "strides": (L.Conv2D(5, (3, 2), (2, 3), "same", use_bias=False), (8, 7, 4)),
    "valid": (L.Conv2D(5, 3, 2, use_bias=False), (9, 8, 4)),
    "dilated": (L.Conv2D(5, 3, dilation_rate=2, use_bias=False), (9, 8, 4)),
    "causal": (L.Conv1D(5, 4, padding="causal", use_bias=False), (9, 4)),
    "volume": (L.Conv3D(3, 2, padding="same", use_bias=False), (4, 5, 3, 2)),
}


@pytest.mark.parametrize("name", sorted(CONVOLUTIONS))
def test_outputs_are_sums_over_windows(name):
    conv, shape = CONVOLUTIONS[name]
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
    wanted = np.asarray(conv(x))
    assert window(conv, shape[-1]) == conv.kernel_size
    kernel = np.asarray(conv.kernel).reshape(-1, conv.filters)
    found = np.asarray(windows(conv, x)) @ kernel
    np.testing.assert_allclose(found, wanted.reshape(found.shape), atol=1e-5)


def test_large_maps_are_seen_on_a_lattice():
    conv = L.Conv2D(2, 3, padding="same", use_bias=False)
    x = np.random.default_rng(0).normal(size=(2, 70, 66, 3)).astype("float32")
    wanted = np.asarray(conv(x))[:, ::3, ::3]
    found = np.asarray(windows(conv, x)) @ np.asarray(conv.kernel).reshape(-1, 2)
    np.testing.assert_allclose(found, wanted.reshape(-1, 2), atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        L.Conv2D(4, 1),
        L.Conv2D(4, 3, groups=2),
        L.Conv2DTranspose(4, 3),
        L.DepthwiseConv2D(3),
        L.SeparableConv2D(4, 3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_other_kernels_have_no_window(layer):
    layer(keras.ops.zeros((1, 5, 5, 4)))
    assert window(layer, 4) == ()


def test_windows_of_many_rows_are_not_told_apart():
    conv = L.Conv2D(1, 3)
    conv(keras.ops.zeros((1, 4, 4, 2)))
    assert window(conv, LARGEST // 9) == (3, 3)
    assert window(conv, LARGEST // 9 + 1) == ()
