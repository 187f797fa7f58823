"""Which functions of TensorFlow mean the same as a `keras.ops`."""

import string
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

# TensorFlow's name → that of Keras, where they differ by no more than that.
_SAME = {
    "abs": "abs",
    "acos": "arccos",
    "acosh": "arccosh",
    "add": "add",
    "argsort": "argsort",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "ceil": "ceil",
    "cos": "cos",
    "cosh": "cosh",
    "divide": "true_divide",
    "equal": "equal",
    "erf": "erf",
    "exp": "exp",
    "expm1": "expm1",
    "floor": "floor",
    "floordiv": "floor_divide",
    "floormod": "mod",
    "greater": "greater",
    "greater_equal": "greater_equal",
    "is_finite": "isfinite",
    "is_inf": "isinf",
    "is_nan": "isnan",
    "less": "less",
    "less_equal": "less_equal",
    "log": "log",
    "log1p": "log1p",
    "log_sigmoid": "log_sigmoid",
    "logical_and": "logical_and",
    "logical_not": "logical_not",
    "logical_or": "logical_or",
    "logical_xor": "logical_xor",
    "maximum": "maximum",
    "minimum": "minimum",
    "multiply": "multiply",
    "negative": "negative",
    "not_equal": "not_equal",
    "ones_like": "ones_like",
    "pow": "power",
    "relu": "relu",
    "relu6": "relu6",
    "rint": "round",
    "round": "round",
    "rsqrt": "rsqrt",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "sign": "sign",
    "silu": "silu",
    "sin": "sin",
    "sinh": "sinh",
    "softplus": "softplus",
    "softsign": "softsign",
    "sqrt": "sqrt",
    "square": "square",
    "stop_gradient": "stop_gradient",
    "subtract": "subtract",
    "swish": "silu",
    "tan": "tan",
    "tanh": "tanh",
    "truediv": "true_divide",
    "zeros_like": "zeros_like",
}

_REDUCTIONS = {
    "reduce_all": "all",
    "reduce_any": "any",
    "reduce_logsumexp": "logsumexp",
    "reduce_max": "max",
    "reduce_mean": "mean",
    "reduce_min": "min",
    "reduce_prod": "prod",
    "reduce_sum": "sum",
}

_SPECIAL: dict = {}


def integers(value: Any) -> Any:
    """A shape as integers, of whatever it was made."""
    if tf.is_tensor(value) or isinstance(value, np.ndarray):
        return [int(n) for n in np.asarray(value)]
    if isinstance(value, (int, np.integer)):
        return int(value)
    return [-1 if n is None else int(n) for n in value]


def symbolic(value: Any) -> Any:
    return isinstance(value, keras.KerasTensor)


def _axis(value):
    if value is None or isinstance(value, int):
        return value
    sizes = integers(value)
    return sizes if isinstance(sizes, int) else tuple(sizes)


def as_keras(name: Any, given: Any, args: Any) -> Any:
    """What a function of TensorFlow gives as `keras.ops`, or None if no such is known.

    Args:
        name: the function's name, without `math` and the like before it.
        given: argument name → value; those that have their default are left out.
        args: arguments that have no names.
    """
    if name == "einsum" and args:
        return ops.einsum(_small_letters(args[0]), *args[1:])
    if args:
        return None
    if _SAME.get(name) and set(given) <= {
        "x",
        "y",
        "features",
        "logits",
        "values",
        "input",
        "a",
        "b",
    }:
        return getattr(ops, _SAME[name])(*given.values())
    if name in _REDUCTIONS and set(given) <= {"input_tensor", "axis", "keepdims"}:
        axis = _axis(given.get("axis"))
        keepdims = given.get("keepdims", False)
        x = given["input_tensor"]
        return getattr(ops, _REDUCTIONS[name])(x, axis=axis, keepdims=keepdims)
    if name in _SPECIAL:
        return _SPECIAL[name](**given)
    return None


def _small_letters(subscripts):
    """Axes of an einsum as Keras wants them: without blanks and capitals."""
    subscripts = "".join(subscripts.split())
    free = (c for c in string.ascii_lowercase if c not in subscripts)
    capitals = sorted({c for c in subscripts if c.isupper()})
    return subscripts.translate({ord(c): next(free) for c in capitals})


def means(*names: Any) -> Callable:
    def decorate(function):
        for name in names:
            _SPECIAL[name] = function
        return function

    return decorate


@means("convert_to_tensor", "identity")
def _itself(value=None, input=None, dtype=None):
    x = value if value is not None else input
    if not isinstance(x, keras.KerasTensor):
        return ops.stack(x) if dtype is None else ops.cast(ops.stack(x), dtype)
    same = dtype is None or tf.as_dtype(dtype).name == x.dtype
    return x if same else ops.cast(x, tf.as_dtype(dtype).name)


@means("shape")
def _shape(input, out_type=tf.int32):
    if None in input.shape:
        return None
    return tf.constant(tuple(input.shape), out_type)


@means("rank")
def _rank(input):
    return tf.constant(len(input.shape))


@means("size")
def _size(input):
    if None in input.shape:
        return None
    return tf.constant(int(np.prod(input.shape)))


@means("dropout")
def _dropout(x, rate):
    return ops.copy(x) if rate == 0 else None


@means("cast")
def _cast(x, dtype):
    return ops.cast(x, tf.as_dtype(dtype).name)


@means("reshape")
def _reshape(tensor, shape):
    return ops.reshape(tensor, integers(shape))


@means("transpose")
def _transpose(a, perm=None, conjugate=False):
    return ops.transpose(a, None if perm is None else integers(perm))


@means("concat")
def _concat(values, axis):
    return ops.concatenate(list(values), int(axis))


@means("stack")
def _stack(values, axis=0):
    return ops.stack(list(values), axis)


@means("unstack")
def _unstack(value, num=None, axis=0):
    return ops.unstack(value, num, axis)


@means("split")
def _split(value, num_or_size_splits, axis=0):
    sizes = integers(num_or_size_splits)
    if not isinstance(sizes, int):
        if -1 in sizes:
            return None
        sizes = np.cumsum(sizes)[:-1].tolist()
    return ops.split(value, sizes, axis)


@means("expand_dims")
def _expand_dims(input, axis):
    return ops.expand_dims(input, int(axis))


@means("squeeze")
def _squeeze(input, axis=None):
    axis = _axis(axis)
    if isinstance(axis, tuple) and len(axis) == 1:
        (axis,) = axis
    return ops.squeeze(input, axis)


@means("tile")
def _tile(input, multiples):
    return ops.tile(input, integers(multiples))


@means("repeat")
def _repeat(input, repeats, axis=None):
    return ops.repeat(input, int(repeats), axis)


@means("broadcast_to")
def _broadcast_to(input, shape):
    return ops.broadcast_to(input, integers(shape))


@means("reverse")
def _reverse(tensor, axis):
    for each in np.ravel(_axis(axis)):  # Keras 3.12 turns one at a time
        tensor = ops.flip(tensor, int(each))
    return tensor


@means("roll")
def _roll(input, shift, axis):
    return ops.roll(input, _axis(shift), _axis(axis))


@means("pad")
def _pad(tensor, paddings, mode="CONSTANT", constant_values=0):
    widths = [[int(n) for n in pair] for pair in np.asarray(paddings)]
    mode = mode.lower()
    values = {"constant_values": constant_values} if mode == "constant" else {}
    return ops.pad(tensor, widths, mode, **values)


@means("where")
def _where(condition, x=None, y=None):
    if x is None or y is None:
        return None
    return ops.where(condition, x, y)


@means("clip_by_value")
def _clip(t, clip_value_min, clip_value_max):
    return ops.clip(t, clip_value_min, clip_value_max)


@means("matmul", "linalg.matmul")
def _matmul(a, b, transpose_a=False, transpose_b=False):
    def turned(x):
        order = list(range(len(x.shape)))
        order[-2:] = order[-1], order[-2]
        return ops.transpose(x, order)

    return ops.matmul(turned(a) if transpose_a else a, turned(b) if transpose_b else b)


@means("argmax", "math.argmax")
def _argmax(input, axis=None, output_type=tf.int64):
    found = ops.argmax(input, 0 if axis is None else int(axis))
    return ops.cast(found, tf.as_dtype(output_type).name)


@means("argmin", "math.argmin")
def _argmin(input, axis=None, output_type=tf.int64):
    found = ops.argmin(input, 0 if axis is None else int(axis))
    return ops.cast(found, tf.as_dtype(output_type).name)


@means("gather")
def _gather(params, indices, axis=None, batch_dims=0):
    if batch_dims:
        return None
    return ops.take(params, indices, axis=0 if axis is None else int(axis))


@means("one_hot")
def _one_hot(indices, depth, axis=None, dtype=None):
    dtype = tf.as_dtype(dtype or tf.float32).name
    return ops.one_hot(indices, int(depth), -1 if axis is None else axis, dtype)


@means("cumsum")
def _cumsum(x, axis=0, exclusive=False, reverse=False):
    if exclusive or reverse:
        return None
    return ops.cumsum(x, int(axis))


@means("softmax")
def _softmax(logits, axis=None):
    return ops.softmax(logits, -1 if axis is None else axis)


@means("log_softmax")
def _log_softmax(logits, axis=None):
    return ops.log_softmax(logits, -1 if axis is None else axis)


@means("leaky_relu")
def _leaky_relu(features, alpha=0.2):
    return ops.leaky_relu(features, alpha)


@means("elu")
def _elu(features):
    return ops.elu(features)


@means("gelu")
def _gelu(features, approximate=False):
    return ops.gelu(features, approximate)


@means("add_n")
def _add_n(inputs):
    total = inputs[0]
    for x in inputs[1:]:
        total = total + x
    return total


@means("l2_normalize", "math.l2_normalize")
def _l2_normalize(x, axis=None, epsilon=1e-12):
    total = ops.sum(ops.square(x), axis=_axis(axis), keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.maximum(total, epsilon)))


@means("sort")
def _sort(values, axis=-1):
    return ops.sort(values, int(axis))


@means("slice")
def _slice(input_, begin, size):
    begin, size = integers(begin), integers(size)
    ends = [None if n == -1 else b + n for b, n in zip(begin, size)]
    return input_[tuple(slice(b, e) for b, e in zip(begin, ends))]


@means("reciprocal")
def _reciprocal(x):
    return ops.reciprocal(x)
