"""1 x 1 convolutions with strides, trained around a fault of oneDNN.

oneDNN, by which TensorFlow computes on CPUs, copies what such a convolution reads
before it finds the slope of the kernel. With fewer input channels than a register holds
numbers (16 with AVX-512, 8 with AVX2) it copies past the end of its memory: the process
dies, sooner or later, or slopes are wrong without a word. Shortcuts of residual
networks that were made smaller are such convolutions. TensorFlow 2.21 has the fault;
https://github.com/uxlfoundation/oneDNN/issues/6035 says where.

A kernel with one position more, of zeros, computes the same and is not treated so.
"""

import functools
from collections.abc import Iterable
from typing import Any

import keras

_REGISTER = 16  # numbers


def around_fault(layers: Iterable, base: Any = keras.layers.Conv2D) -> list:
    """The changes by which the convolutions concerned compute the same without it.

    Args:
        layers: of a model, all of them.
        base: Conv2D of the Keras that they are of.

    Returns:
        List of changes for `hh_keras.training.layerwise.changed`.
    """
    changes = []
    for layer in layers:
        if _concerned(layer, base):
            changes.append((layer, "convolution_op", _wider(layer)))
            if _is(layer.call, keras.layers.Conv1D.call):  # has no use for it
                changes.append((layer, "call", functools.partial(base.call, layer)))
    return changes


def _concerned(layer, base):
    operation = getattr(layer, "convolution_op", None)
    if not (_is(operation, base.convolution_op) and layer.built):
        return False
    strided = max(layer.kernel_size) == 1 < max(layer.strides)
    return strided and layer.kernel.shape[-2] < _REGISTER


def _is(method, function):
    return getattr(method, "__func__", None) is function


def _wider(layer):
    more = [(0, 0)] * (layer.rank - 1) + [(0, 1), (0, 0), (0, 0)]

    def convolution(inputs, kernel):
        kernel = keras.ops.pad(kernel, more)
        # What "same" adds, it adds at the end.
        return keras.ops.conv(inputs, kernel, layer.strides, "same", layer.data_format)

    return convolution
