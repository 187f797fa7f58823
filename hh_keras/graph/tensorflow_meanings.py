"""Which functions of TensorFlow mean the same as a `keras.ops`."""

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
    "squared_difference": "squared_difference",
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

_SPECIAL = {}


def _sizes(value):
    """A shape as integers, of whatever it was made."""
    if tf.is_tensor(value) or isinstance(value, np.ndarray):
        return [int(n) for n in np.asarray(value)]
    if isinstance(value, (int, np.integer)):
        return int(value)
    return [-1 if n is None else int(n) for n in value]


def _symbolic(value):
    return isinstance(value, keras.KerasTensor)


def _axis(value):
    if value is None or isinstance(value, int):
        return value
    sizes = _sizes(value)
    return sizes if isinstance(sizes, int) else tuple(sizes)


def as_keras(name, given, args):
    """What a function of TensorFlow gives as `keras.ops`, or None if no such is known.

    Args:
        name: the function's name, without `math` and the like before it.
        given: argument name → value; those that have their default are left out.
        args: arguments that have no names.
    """
    if name == "einsum" and args:
        return ops.einsum(*args)
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


def _means(*names):
    def decorate(function):
        for name in names:
            _SPECIAL[name] = function
        return function

    return decorate


@_means("convert_to_tensor", "identity")
def _itself(value=None, input=None, dtype=None):
    x = value if value is not None else input
    if not isinstance(x, keras.KerasTensor):
        return ops.stack(x) if dtype is None else ops.cast(ops.stack(x), dtype)
    same = dtype is None or tf.as_dtype(dtype).name == x.dtype
    return x if same else ops.cast(x, tf.as_dtype(dtype).name)


@_means("shape")
def _shape(input, out_type=tf.int32):
    if None in input.shape:
        return None
    return tf.constant(tuple(input.shape), out_type)


@_means("rank")
def _rank(input):
    return tf.constant(len(input.shape))


@_means("size")
def _size(input):
    if None in input.shape:
        return None
    return tf.constant(int(np.prod(input.shape)))


@_means("cast")
def _cast(x, dtype):
    return ops.cast(x, tf.as_dtype(dtype).name)


@_means("reshape")
def _reshape(tensor, shape):
    return ops.reshape(tensor, _sizes(shape))


@_means("transpose")
def _transpose(a, perm=None, conjugate=False):
    return ops.transpose(a, None if perm is None else _sizes(perm))


@_means("concat")
def _concat(values, axis):
    return ops.concatenate(list(values), int(axis))


@_means("stack")
def _stack(values, axis=0):
    return ops.stack(list(values), axis)


@_means("unstack")
def _unstack(value, num=None, axis=0):
    return ops.unstack(value, num, axis)


@_means("split")
def _split(value, num_or_size_splits, axis=0):
    sizes = _sizes(num_or_size_splits)
    if not isinstance(sizes, int):
        if -1 in sizes:
            return None
        sizes = np.cumsum(sizes)[:-1].tolist()
    return ops.split(value, sizes, axis)


@_means("expand_dims")
def _expand_dims(input, axis):
    return ops.expand_dims(input, int(axis))


@_means("squeeze")
def _squeeze(input, axis=None):
    axis = _axis(axis)
    if isinstance(axis, tuple) and len(axis) == 1:
        (axis,) = axis
    return ops.squeeze(input, axis)


@_means("tile")
def _tile(input, multiples):
    return ops.tile(input, _sizes(multiples))


@_means("repeat")
def _repeat(input, repeats, axis=None):
    return ops.repeat(input, int(repeats), axis)


@_means("broadcast_to")
def _broadcast_to(input, shape):
    return ops.broadcast_to(input, _sizes(shape))


@_means("reverse")
def _reverse(tensor, axis):
    return ops.flip(tensor, _axis(axis))


@_means("roll")
def _roll(input, shift, axis):
    return ops.roll(input, _axis(shift), _axis(axis))


@_means("pad")
def _pad(tensor, paddings, mode="CONSTANT", constant_values=0):
    widths = [[int(n) for n in pair] for pair in np.asarray(paddings)]
    mode = mode.lower()
    values = {"constant_values": constant_values} if mode == "constant" else {}
    return ops.pad(tensor, widths, mode, **values)


@_means("where")
def _where(condition, x=None, y=None):
    if x is None or y is None:
        return None
    return ops.where(condition, x, y)


@_means("clip_by_value")
def _clip(t, clip_value_min, clip_value_max):
    return ops.clip(t, clip_value_min, clip_value_max)


@_means("matmul", "linalg.matmul")
def _matmul(a, b, transpose_a=False, transpose_b=False):
    def turned(x):
        order = list(range(len(x.shape)))
        order[-2:] = order[-1], order[-2]
        return ops.transpose(x, order)

    return ops.matmul(turned(a) if transpose_a else a, turned(b) if transpose_b else b)


@_means("argmax", "math.argmax")
def _argmax(input, axis=None, output_type=tf.int64):
    found = ops.argmax(input, 0 if axis is None else int(axis))
    return ops.cast(found, tf.as_dtype(output_type).name)


@_means("argmin", "math.argmin")
def _argmin(input, axis=None, output_type=tf.int64):
    found = ops.argmin(input, 0 if axis is None else int(axis))
    return ops.cast(found, tf.as_dtype(output_type).name)


@_means("gather")
def _gather(params, indices, axis=None, batch_dims=0):
    if batch_dims:
        return None
    return ops.take(params, indices, axis=0 if axis is None else int(axis))


@_means("one_hot")
def _one_hot(indices, depth, axis=None, dtype=None):
    dtype = tf.as_dtype(dtype or tf.float32).name
    return ops.one_hot(indices, int(depth), -1 if axis is None else axis, dtype)


@_means("cumsum")
def _cumsum(x, axis=0, exclusive=False, reverse=False):
    if exclusive or reverse:
        return None
    return ops.cumsum(x, int(axis))


@_means("softmax")
def _softmax(logits, axis=None):
    return ops.softmax(logits, -1 if axis is None else axis)


@_means("log_softmax")
def _log_softmax(logits, axis=None):
    return ops.log_softmax(logits, -1 if axis is None else axis)


@_means("leaky_relu")
def _leaky_relu(features, alpha=0.2):
    return ops.leaky_relu(features, alpha)


@_means("elu")
def _elu(features):
    return ops.elu(features)


@_means("gelu")
def _gelu(features, approximate=False):
    return ops.gelu(features, approximate)


@_means("add_n")
def _add_n(inputs):
    total = inputs[0]
    for x in inputs[1:]:
        total = total + x
    return total


@_means("depth_to_space")
def _depth_to_space(input, block_size, data_format="NHWC"):
    if data_format != "NHWC":
        return None
    return ops.depth_to_space(input, block_size)


@_means("space_to_depth")
def _space_to_depth(input, block_size, data_format="NHWC"):
    if data_format != "NHWC":
        return None
    return ops.space_to_depth(input, block_size)


@_means("image.resize")
def _resize(
    images, size, method="bilinear", preserve_aspect_ratio=False, antialias=False
):
    if preserve_aspect_ratio or len(images.shape) != 4:
        return None
    return ops.image.resize(images, tuple(_sizes(size)), method, antialias)


def _windows(given):
    """`(size, stride, padding)` of a window over two dimensions."""

    def inner(value, rank=2):
        if isinstance(value, int):
            return (value,) * rank
        value = tuple(_sizes(value))
        return value[1:-1] if len(value) == rank + 2 else value

    if not isinstance(given["padding"], str):
        raise ValueError("padded side by side")
    if given.get("data_format") not in (None, "NHWC"):
        raise ValueError("channels first")
    return inner(given["ksize"]), inner(given["strides"]), given["padding"].lower()


@_means("max_pool", "max_pool2d")
def _max_pool(input, **given):
    return ops.max_pool(input, *_windows(given))


@_means("avg_pool", "avg_pool2d")
def _avg_pool(input, **given):
    return ops.average_pool(input, *_windows(given))


@_means("conv2d")
def _conv2d(input, filters, strides, padding, data_format="NHWC", dilations=None):
    given = {"ksize": 1, "strides": strides, "padding": padding}
    given["data_format"] = data_format
    _, strides, padding = _windows(given)
    holes = 1 if dilations is None else _windows({**given, "strides": dilations})[1]
    return ops.conv(input, filters, strides, padding, dilation_rate=holes)


@_means("depthwise_conv2d")
def _depthwise_conv2d(
    input, filter, strides, padding, data_format=None, dilations=None
):
    given = {"ksize": 1, "strides": strides, "padding": padding}
    given["data_format"] = data_format
    _, strides, padding = _windows(given)
    holes = 1 if dilations is None else tuple(_sizes(dilations))
    return ops.depthwise_conv(input, filter, strides, padding, dilation_rate=holes)


@_means("bias_add")
def _bias_add(value, bias, data_format=None):
    if data_format not in (None, "NHWC", "NWC", "N...C"):
        return None
    return ops.add(value, bias if _symbolic(bias) else np.asarray(bias, value.dtype))


@_means("l2_normalize", "math.l2_normalize")
def _l2_normalize(x, axis=None, epsilon=1e-12):
    total = ops.sum(ops.square(x), axis=_axis(axis), keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.maximum(total, epsilon)))


@_means("sort")
def _sort(values, axis=-1):
    return ops.sort(values, int(axis))


@_means("slice")
def _slice(input_, begin, size):
    begin, size = _sizes(begin), _sizes(size)
    ends = [None if n == -1 else b + n for b, n in zip(begin, size)]
    return input_[tuple(slice(b, e) for b, e in zip(begin, ends))]


@_means("image.flip_left_right")
def _flip_left_right(image):
    return ops.flip(image, -2)


@_means("image.flip_up_down")
def _flip_up_down(image):
    return ops.flip(image, -3)


@_means("reciprocal")
def _reciprocal(x):
    return ops.reciprocal(x)
