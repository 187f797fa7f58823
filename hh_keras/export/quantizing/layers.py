"""Keras 3 layers as steps of tf_keras: one function per family.

Each is `f(tape, path, op, x)` with `x` a tensor or a list of them, and returns a
tensor.
"""

import inspect
from typing import Any

import numpy as np

from hh_keras.export.quantizing.activations import activate, clipped, leaky
from hh_keras.export.quantizing.legacy import modules
from hh_keras.export.quantizing.tape import COMPUTES, PASSES, Tape, refused

_NOT_CARRIED = ("initializer", "regularizer", "constraint")


def twin(op: Any, kind: Any = None, **changes: Any) -> Any:
    """A maker of the tf_keras layer that is configured as `op` is.

    Args:
        op: the Keras 3 layer.
        kind: name of the tf_keras class; None for the same name.
        **changes: other values for some entries of the configuration.

    Returns:
        A function of a name that returns a fresh layer.
    """
    make = getattr(modules()[0].layers, kind or type(op).__name__)
    known = inspect.signature(make.__init__).parameters
    config = {
        key: value
        for key, value in {**op.get_config(), **changes}.items()
        if key in known and key != "name" and not key.endswith(_NOT_CARRIED)
    }
    return lambda name: make(**config, name=name)


def arrays(op: Any) -> list[np.ndarray]:
    return [np.asarray(v) for v in op.weights]


def _same(scale):
    """A layer without weights that is called the same in both."""

    def carried(tape, path, op, x):
        return tape.step(path, twin(op), x, scale=scale)

    return carried


def _convolution(tape, path, op, x):
    """Any layer with a kernel, then its activation."""
    make = twin(op, activation="linear")
    x = tape.step(path, make, x, weights=arrays(op), key=id(op))
    return activate(tape, path, op, op.activation, x)


def _separable(tape, path, op, x):
    """Its two halves are two kernels, with a range in between."""
    depthwise, pointwise, *bias = arrays(op)
    make = twin(op, "DepthwiseConv2D", activation="linear", use_bias=False)
    key = (id(op), "depthwise")
    x = tape.step(f"{path}_depthwise", make, x, weights=[depthwise], key=key)
    make = twin(
        op, "Conv2D", activation="linear", kernel_size=1, strides=1, padding="valid",
        dilation_rate=1,
    )  # fmt: skip
    key = (id(op), "pointwise")
    x = tape.step(f"{path}_pointwise", make, x, weights=[pointwise, *bias], key=key)
    return activate(tape, path, op, op.activation, x)


def affine(
    tape: Tape, path: str, x: Any, gain: np.ndarray, offset: np.ndarray, key: Any = None
) -> Any:
    """gain · x + offset, as a depthwise convolution that is not trained.

    One int8 kernel with a gain per channel; on tensors of other ranks a product and a
    sum.
    """
    layers = modules()[0].layers
    channels = x.shape[-1]
    gain, offset = (np.broadcast_to(v, (channels,)) for v in (gain, offset))
    if len(x.shape) != 4:
        x = tape.compute(path, lambda v: v * gain.astype("float32"), x)
        return tape.compute(path, lambda v: v + offset.astype("float32"), x)

    def make(name):
        return layers.DepthwiseConv2D(1, name=name, trainable=False)

    weights = [gain.reshape(1, 1, channels, 1), offset]
    return tape.step(path, make, x, weights=weights, key=key)


def _batch_normalization(tape, path, op, x):
    shape = tuple(x.shape)
    axis = op.axis if isinstance(op.axis, int) else op.axis[0]
    if axis not in (-1, len(shape) - 1):
        raise refused(path, op, f"it normalises axis {axis}, not the last one")
    if len(shape) < 4:  # as an image of one pixel, or of one column
        x = _reshaped(tape, path, x, (shape[1] if len(shape) == 3 else 1, 1, shape[-1]))
    if not _folds(tape, x):
        x = tape.step(f"{path}_carrier", _carrier, x, key=(id(op), "carrier"))
    x = tape.step(path, twin(op, axis=-1), x, weights=arrays(op), key=id(op))
    return _reshaped(tape, path, x, shape[1:]) if len(shape) < 4 else x


def _reshaped(tape, path, x, shape):
    layers = modules()[0].layers
    make = lambda name: layers.Reshape(shape, name=name)  # noqa: E731
    return tape.step(f"{path}_reshape", make, x, scale=PASSES)


def _carrier(name):
    """A convolution that changes nothing, but that a BatchNormalization folds into."""
    return modules()[0].layers.DepthwiseConv2D(
        1, use_bias=False, depthwise_initializer="ones", trainable=False, name=name
    )


def _folds(tape, x):
    """Whether a tensor comes from a layer that a BatchNormalization folds into."""
    kinds = ("Conv2D", "DepthwiseConv2D")
    made = [s.layer for s in tape.steps if s.output is x]
    return bool(made) and type(made[0]).__name__ in kinds and id(x) not in tape.forked


def _relu(tape, path, op, x):
    if op.max_value not in (None, 6):
        raise refused(path, op, f"no int8 kernel clips at {op.max_value}, only at 6")
    if op.threshold:
        raise refused(path, op, "no int8 kernel has a threshold other than 0")
    if op.negative_slope and op.max_value is not None:
        raise refused(path, op, "no int8 kernel has both a slope and a largest value")
    if op.negative_slope:
        return leaky(tape, path, x, float(op.negative_slope))
    return clipped(tape, path, x, op.max_value)


def _prelu(tape, path, op, x):
    return tape.step(path, twin(op), x, weights=arrays(op), key=id(op))


def _leaky_relu(tape, path, op, x):
    return leaky(tape, path, x, float(op.negative_slope))


def _activation(tape, path, op, x):
    return activate(tape, path, op, op.activation, x)


def _softmax(tape, path, op, x):
    if op.axis not in (-1, len(x.shape) - 1):
        raise refused(path, op, "int8 kernels take the softmax over the last axis")
    return activate(tape, path, op, "softmax", x)


def _average(tape, path, op, x):
    """A mean of several inputs."""
    layers = modules()[0].layers
    total = tape.step(path, lambda name: layers.Add(name=name), x)
    return tape.compute(path, lambda v: v * (1 / len(x)), total)


def _rescaling(tape, path, op, x):
    return affine(tape, path, x, op.scale, op.offset, (id(op), x.shape[-1]))


def _normalization(tape, path, op, x):
    if tuple(op.axis) not in ((), (-1,), (len(x.shape) - 1,)):
        raise refused(path, op, "it normalises other axes than the last one")
    mean, variance = (np.asarray(v).reshape(-1) for v in (op.mean, op.variance))
    gain = 1 / np.maximum(np.sqrt(variance), 1e-7)
    offset = -mean * gain
    if op.invert:
        gain, offset = 1 / gain, mean
    return affine(tape, path, x, gain, offset, id(op))


def _nothing(tape, path, op, x):
    return x


_COMPUTING = (
    "Add", "Subtract", "Multiply", "Maximum", "Minimum", "Concatenate",
    "GlobalAveragePooling2D",
)  # fmt: skip
_PASSING = (
    "MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D",
    "ZeroPadding2D", "Cropping2D", "UpSampling2D", "Flatten", "Reshape", "Permute",
    "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout",
)  # fmt: skip

LAYERS = {
    **{name: _same(COMPUTES) for name in _COMPUTING},
    **{name: _same(PASSES) for name in _PASSING},
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "Conv2DTranspose": _convolution,
    "Dense": _convolution,
    "SeparableConv2D": _separable,
    "BatchNormalization": _batch_normalization,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "PReLU": _prelu,
    "Softmax": _softmax,
    "Activation": _activation,
    "Average": _average,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "Identity": _nothing,
    "ActivityRegularization": _nothing,
}
"""Name of a layer of Keras 3 to the function that carries it."""
