"""Nodes of `keras.ops` as steps of tf_keras.

Each function is `f(tape, path, op, args, kwargs)` and returns a tensor or a list.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.export.quantizing.activations import ACTIVATIONS, activate
from hh_keras.export.quantizing.legacy import modules
from hh_keras.export.quantizing.tape import COMPUTES, PASSES, refused


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of the tf_keras model."""
    return hasattr(value, "_keras_history")


def _arithmetic(merge, function):
    """Two tensors, or a tensor and a constant."""

    def carried(tape, path, op, args, kwargs):
        x, y = (*args, *kwargs.values())[:2]
        layers = modules()[0].layers
        if is_tensor(x) and is_tensor(y):
            if merge is None:
                raise refused(path, op, "it divides tensors")
            make = getattr(layers, merge)
            return tape.step(path, lambda name: make(name=name), [x, y])
        tensor, first = (x, True) if is_tensor(x) else (y, False)
        constant = np.asarray(y if first else x, "float32")
        if merge is None:
            if not first:
                raise refused(path, op, "it divides by a tensor")
            return tape.compute(path, lambda v: v * (1 / constant), tensor)
        if first:
            return tape.compute(path, lambda v: function(v, constant), tensor)
        return tape.compute(path, lambda v: function(constant, v), tensor)

    return carried


def _function(scale):
    """The operation itself, on tensors of TensorFlow."""

    def carried(tape, path, op, args, kwargs):
        flat = keras.tree.flatten((args, kwargs))
        tensors = [v for v in flat if is_tensor(v)]
        places = [i for i, v in enumerate(flat) if is_tensor(v)]

        def results(given):
            given = given if isinstance(given, (list, tuple)) else [given]
            values = list(flat)
            for place, value in zip(places, given, strict=True):
                values[place] = value
            a, k = keras.tree.pack_sequence_as((args, kwargs), values)
            return keras.tree.flatten(op.call(*a, **k))

        inputs = tensors if len(tensors) > 1 else tensors[0]
        count = len(keras.tree.flatten(op.output))
        made = [
            tape.compute(path, lambda v, i=i: results(v)[i], inputs, scale)
            for i in range(count)
        ]
        return made if count > 1 else made[0]

    return carried


def _concatenate(tape, path, op, args, kwargs):
    tensors = args[0] if args else kwargs["xs"]
    layers = modules()[0].layers
    make = lambda name: layers.Concatenate(op.axis, name=name)  # noqa: E731
    return tape.step(path, make, list(tensors))


def _activation(name):
    def carried(tape, path, op, args, kwargs):
        return activate(tape, path, op, name, (*args, *kwargs.values())[0])

    return carried


_PASSING = (
    "Reshape", "Transpose", "GetItem", "Split", "ExpandDims", "Squeeze", "Max", "Flip",
    "Pad", "Swapaxes", "Moveaxis", "DepthToSpace", "SpaceToDepth",
)  # fmt: skip
_ACTIVATIONS = {
    "Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Silu": "silu",
    "Tanh": "tanh", "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu", "LeakyRelu": "leaky_relu",
}  # fmt: skip
assert set(_ACTIVATIONS.values()) <= set(ACTIVATIONS)

OPERATIONS = {
    "Add": _arithmetic("Add", tf.add),
    "Subtract": _arithmetic("Subtract", tf.subtract),
    "Multiply": _arithmetic("Multiply", tf.multiply),
    "Divide": _arithmetic(None, None),
    "TrueDivide": _arithmetic(None, None),
    "Maximum": _arithmetic("Maximum", tf.maximum),
    "Minimum": _arithmetic("Minimum", tf.minimum),
    "Mean": _function(COMPUTES),
    "Sum": _function(COMPUTES),
    "Concatenate": _concatenate,
    **{name: _function(PASSES) for name in _PASSING},
    **{name: _activation(kind) for name, kind in _ACTIVATIONS.items()},
}
"""Name of an operation to the function that carries it."""
