"""Layers with two numbers for each channel, in a small network: a gain and an offset.

A channel that stays is not what it was, because those before it were mended only as far
as they could be, and because it is normalised together with fewer others. What the
original's depthwise or normalising layer puts out is met best by `a y + b`, of two
numbers for each channel.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.graph.weights import variables
from hh_keras.surgery.readers import is_linear

_NORMS = keras.layers.LayerNormalization, keras.layers.GroupNormalization
_MOST = 2.0  # a gain is at most this, and at least its inverse


def takes(op: Any) -> bool:
    """Whether each channel of an operation has a factor and is by itself after it.

    So are depthwise layers that make one channel of each, and what normalises over
    channels of one axis.
    """
    kinds = keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D
    if isinstance(op, kinds):
        return op.depth_multiplier == 1 and is_linear(op)
    return isinstance(op, _NORMS) and op.scale and op.center and _one_axis(op)


def weight(op: Any) -> str:
    """Name of the weight that holds the channels' factors."""
    return "gamma" if isinstance(op, _NORMS) else "kernel"


def channels(op: Any, axes: tuple) -> np.ndarray:
    """Of the ids of that weight's axes those of the channels."""
    return axes[-1] if isinstance(op, _NORMS) else axes[-2]


def _one_axis(op):
    return isinstance(op.axis, int) or len(op.axis) == 1


def axis(op: Any) -> int:
    """Of the channels, in what such a layer puts out."""
    if isinstance(op, _NORMS):
        return op.axis if isinstance(op.axis, int) else op.axis[0]
    return -1 if op.data_format == "channels_last" else 1


def sums(y: tf.Tensor, z: tf.Tensor) -> np.ndarray:
    """What `gains` takes, of some examples.

    Args:
        y, z: the outputs of the original's layer (of the channels that stay), and of
            the small one's, channels last.

    Returns:
        float64 `(6, channels)`: the number of positions, and the sums of `z`, `y`,
        `z²`, `z y`, `y²`.
    """
    y, z = (tf.cast(t, "float64") for t in (y, z))
    rest = list(range(len(y.shape) - 1))
    one = tf.ones_like(y)
    each = [tf.reduce_sum(t, rest) for t in (one, z, y, z * z, z * y, y * y)]
    return np.stack([t.numpy() for t in each])


def gains(halves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(a, b)` with which `a z + b` is nearest to `y`, for each channel.

    Where those of one half of the data do not serve the other half, 1 and 0.

    Args:
        halves: float64 `(2, 6, channels)`, see `sums`.
    """
    found = [_fit(half) for half in halves]
    gain, offset = _fit(halves.sum(0))
    better = sum(
        _error(halves[1 - k], *found[k]) - _error(halves[1 - k], 1, 0) for k in (0, 1)
    )
    return np.where(better < 0, gain, 1), np.where(better < 0, offset, 0)


def _fit(each):
    n, z, y, zz, zy, _ = each
    n = np.maximum(n, 1)
    variance, common = zz / n - (z / n) ** 2, zy / n - z * y / n**2
    known = variance > 1e-8 * (zz / n + 1e-30)
    gain = np.where(known, common / np.where(known, variance, 1), 1)
    gain = np.clip(gain, 1 / _MOST, _MOST)
    return gain, y / n - gain * z / n


def _error(each, a, b):
    n, z, y, zz, zy, yy = each
    return yy + a * a * zz + n * b * b - 2 * a * zy - 2 * b * y + 2 * a * b * z


def mend(path: str, halves: np.ndarray, layers: dict, home: tuple) -> None:
    """Gives a small network's layer its gains, and `home` the offsets.

    Args:
        path: of the layer.
        halves: see `gains`.
        layers: layer name → layer of the small network.
        home: where the constant goes, see `compensation.constants`.
    """
    gain, offset = gains(halves)
    op = layers[path]
    factors = variables(op)[weight(op)]
    column = gain if isinstance(op, _NORMS) else gain[:, None]
    factors.assign(np.asarray(factors) * column)
    where, name, sign = home
    constant = variables(layers[where])[name]
    before = np.asarray(constant)
    if name in ("bias", "beta"):  # it is part of what is put out
        before = before * gain
    constant.assign(before + sign * offset)
