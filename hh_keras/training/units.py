"""Kernels in units of what they put out, so that one learning rate suits all of them.

A network that normalises by fixed statistics has kernels of any size: behind depthwise
convolutions of a trained MobileNetV2, BatchNormalization multiplies by 50, and some
channels by 300. A step of one length is then nothing to one kernel and ruins another:
fine-tuning makes such networks worse. Dividing kernel and statistics by the deviation
changes nothing but that.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from hh_keras.graph.calls import calls, is_graph

L, numpy = keras.layers, keras.ops.convert_to_numpy
_LAST = (L.Conv1D, L.Conv2D, L.Conv3D, L.Dense)
_BUT_ONE = (L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose)
_DEPTHWISE = (L.DepthwiseConv1D, L.DepthwiseConv2D)
_SEPARABLE = (L.SeparableConv1D, L.SeparableConv2D)


def in_units_of_statistics(model: keras.Model) -> int:
    """Gives BatchNormalization behind kernels a variance of 1; the function stays.

    With deviation s of the moving statistics: kernel / s, bias / s, mean / s.

    Args:
        model: a functional model; its weights are changed. Kernels that others read
            besides, that are called twice, or that are regularised or constrained stay.

    Returns:
        How many kernels were changed.
    """
    pairs = list(_pairs(model))
    for producer, norm in pairs:
        deviation = np.sqrt(numpy(norm.moving_variance) + norm.epsilon)
        for weight, shape in _weights(producer):
            scale = deviation.reshape(shape)
            weight.assign(numpy(weight) / scale)
        norm.moving_mean.assign(numpy(norm.moving_mean) / deviation)
        norm.moving_variance.assign(np.full_like(deviation, 1 - norm.epsilon))
    return len(pairs)


def _pairs(model: Any) -> Iterator[tuple]:
    """(producer, BatchNormalization) that belong to each other alone."""
    made = list(calls(model))
    for call in made:
        if is_graph(call.op):
            yield from _pairs(call.op)
    times: dict[int, int] = {}
    readers: dict[int, int] = {id(x): 1 for x in model.outputs}
    for call in made:
        times[id(call.op)] = times.get(id(call.op), 0) + 1
        for x in call.inputs:
            readers[id(x)] = readers.get(id(x), 0) + 1
    makers = {id(x): call.op for call in made for x in call.outputs}
    for call in made:
        maker = makers.get(id(call.inputs[0])) if call.inputs else None
        alone = readers.get(id(call.inputs[0])) == 1 if call.inputs else False
        once = times[id(call.op)] == 1 == times.get(id(maker))
        if alone and once and _normalises(call) and _scales(maker):
            yield maker, call.op


def _normalises(call):
    if type(call.op) is not L.BatchNormalization:
        return False
    axis = call.op.axis
    return axis in (-1, len(call.inputs[0].shape) - 1)


def _scales(op):
    """Whether an operation puts out its kernel's products and nothing else."""
    known = type(op) in (*_LAST, *_BUT_ONE, *_DEPTHWISE, *_SEPARABLE)
    if not known or op.activation is not keras.activations.linear:
        return False
    kinds = ("regularizer", "constraint")
    names = ("kernel", "bias", "depthwise", "pointwise", "activity")
    return not any(getattr(op, f"{n}_{k}", None) for n in names for k in kinds)


def _weights(op: Any) -> list[tuple[Any, tuple]]:
    """The weights that scale the outputs, and the shape in which theirs is divided."""
    kernel = op.pointwise_kernel if type(op) in _SEPARABLE else op.kernel
    shape: tuple = (-1,)
    if type(op) in _BUT_ONE:
        shape = (-1, 1)
    if type(op) in _DEPTHWISE:
        shape = tuple(kernel.shape[-2:])
    found = [(kernel, shape)]
    return found + ([(op.bias, (-1,))] if op.bias is not None else [])
