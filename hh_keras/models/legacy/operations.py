"""TensorFlow functions that old models call between their layers."""

import itertools
from typing import Any

import keras
from keras import ops

from hh_keras.errors import ModelError

OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")


def operation(config: dict, name: str) -> Any:
    """The same function of `keras.ops`.

    Args:
        config: of a `TFOpLambda` or `SlicingOpLambda`, which names the function.
        name: of that layer, for messages.

    Returns:
        A function of tensors and of the arguments that the TensorFlow function takes.

    Raises:
        ModelError: it is none of those that are known.
    """
    function = config.get("function")
    found = _FUNCTIONS.get((function or "").removeprefix("compat.v1."))
    if found is None:
        called = f"tf.{function}" if function else "an operation of TensorFlow 1"
        raise ModelError(
            f"its layer {name!r} is {called}, called between layers; no counterpart in "
            "Keras 3 is known. Rebuild the model with keras.layers or keras.ops"
        )

    def call(*args, **kwargs):
        # Every entry of the table makes one operation.
        kwargs = {
            k: v for k, v in kwargs.items() if k != "name" and (k, v) not in _DEFAULTS
        }
        try:
            output = found(*args, **kwargs)
            # Names of operations count among those of layers, which are the file's.
            keras.tree.flatten(output)[0]._keras_history.operation.name = name
            return output
        except TypeError as error:
            raise ModelError(
                f"its layer {name!r} calls tf.{function} with arguments that are not "
                f"known: {', '.join(kwargs)}"
            ) from error

    return call


def _index(described):
    if not isinstance(described, dict):
        return described
    if described.get("class_name") == "__ellipsis__":
        return Ellipsis
    described = described.get("config", described)
    return slice(*(described.get(key) for key in ("start", "stop", "step")))


def _getitem(x, slice_spec):
    specs = slice_spec if isinstance(slice_spec, list) else [slice_spec]
    return x[tuple(_index(each) for each in specs)]


def _cast(x, dtype):
    return ops.cast(x, dtype)


def _reduced(function):
    def reduce(input_tensor, axis=None, keepdims=False):
        return function(input_tensor, axis=axis, keepdims=keepdims)

    return reduce


def _of_two(function):
    return lambda x, y: function(x, y)


def _of_one(function):
    return lambda x: function(x)


def _clip(t, clip_value_min, clip_value_max):
    return ops.clip(t, clip_value_min, clip_value_max)


def _softmax(logits, axis=-1):
    return ops.softmax(logits, axis=-1 if axis is None else axis)


def _squeeze(input, axis=None):
    return ops.squeeze(input, axis=tuple(axis) if isinstance(axis, list) else axis)


def _split(value, num_or_size_splits, axis=0):
    if isinstance(num_or_size_splits, list):
        ends = list(itertools.accumulate(num_or_size_splits))
        return ops.split(value, ends[:-1], axis)
    return ops.split(value, num_or_size_splits, axis)


def _resize(images, size, method="bilinear", antialias=False):
    return ops.image.resize(images, size, method, antialias)


def _pad(tensor, paddings, mode="CONSTANT", constant_values=0):
    value = {"constant_values": constant_values} if mode == "CONSTANT" else {}
    return ops.pad(tensor, paddings, mode=mode.lower(), **value)


_DEFAULTS = (
    ("beta", 1.0),
    ("conjugate", False),
    ("num", None),
    ("preserve_aspect_ratio", False),
    ("transpose_a", False),
    ("transpose_b", False),
)
_FUNCTIONS = {
    "__operators__.add": _of_two(ops.add),
    "__operators__.getitem": _getitem,
    "abs": _of_one(ops.abs),
    "add": _of_two(ops.add),
    "cast": _cast,
    "clip_by_value": _clip,
    "concat": lambda values, axis: ops.concatenate(values, axis=axis),
    "expand_dims": lambda input, axis: ops.expand_dims(input, axis),
    "image.resize": _resize,
    "identity": lambda input: input,
    "linalg.matmul": lambda a, b: ops.matmul(a, b),
    "math.abs": _of_one(ops.abs),
    "math.add": _of_two(ops.add),
    "math.divide": _of_two(ops.divide),
    "math.exp": _of_one(ops.exp),
    "math.log": _of_one(ops.log),
    "math.maximum": _of_two(ops.maximum),
    "math.minimum": _of_two(ops.minimum),
    "math.multiply": _of_two(ops.multiply),
    "math.negative": _of_one(ops.negative),
    "math.pow": _of_two(ops.power),
    "math.reduce_max": _reduced(ops.max),
    "math.reduce_mean": _reduced(ops.mean),
    "math.reduce_min": _reduced(ops.min),
    "math.reduce_sum": _reduced(ops.sum),
    "math.rsqrt": _of_one(ops.rsqrt),
    "math.sigmoid": _of_one(ops.sigmoid),
    "math.softplus": lambda features: ops.softplus(features),
    "math.sqrt": _of_one(ops.sqrt),
    "math.square": _of_one(ops.square),
    "math.subtract": _of_two(ops.subtract),
    "math.tanh": _of_one(ops.tanh),
    "math.truediv": _of_two(ops.divide),
    "maximum": _of_two(ops.maximum),
    "minimum": _of_two(ops.minimum),
    "multiply": _of_two(ops.multiply),
    "nn.elu": lambda features: ops.elu(features),
    "nn.gelu": lambda features, approximate=False: ops.gelu(features, approximate),
    "nn.leaky_relu": lambda features, alpha=0.2: ops.leaky_relu(features, alpha),
    "nn.relu": lambda features: ops.relu(features),
    "nn.relu6": lambda features: ops.relu6(features),
    "nn.selu": lambda features: ops.selu(features),
    "nn.silu": lambda features: ops.silu(features),
    "nn.softmax": _softmax,
    "pad": _pad,
    "reshape": lambda tensor, shape: ops.reshape(tensor, shape),
    "split": _split,
    "square": _of_one(ops.square),
    "squeeze": _squeeze,
    "stack": lambda values, axis=0: ops.stack(values, axis=axis),
    "subtract": _of_two(ops.subtract),
    "tanh": _of_one(ops.tanh),
    "tile": lambda input, multiples: ops.tile(input, multiples),
    "transpose": lambda a, perm=None: ops.transpose(a, perm),
    "zeros_like": lambda input, dtype=None: ops.zeros_like(input, dtype),
}
