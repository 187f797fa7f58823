"""What a convolution sees at each of its positions, as rows of numbers."""

import math
from typing import Any

import keras
import tensorflow as tf

LARGEST = 1200  # rows of a window that are told apart: 3 x 3 of 133 channels
_POSITIONS = 1024  # of an example; of a larger map, positions on a lattice


def window(op: Any, channels: int) -> tuple:
    """The kernel's extent in space, or () if its positions are not told apart.

    That is so for kernels of one position, with groups, of transposed and separable
    convolutions, and where the rows would be too many.
    """
    kernel = getattr(op, "kernel", None)
    plain = keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D
    if not isinstance(op, plain) or kernel is None or op.groups != 1:
        return ()
    positions = math.prod(op.kernel_size)
    return () if not 1 < positions <= LARGEST // channels else tuple(op.kernel_size)


def windows(op: Any, x: Any) -> Any:
    """The inputs that a convolution's outputs are sums of.

    Args:
        op: a convolution of `window`.
        x: its input with channels last, `(examples, *space, channels)`.

    Returns:
        float32 `(rows, positions of the window * channels)`; of large maps on a
        lattice of positions.
    """
    x = tf.cast(x, "float32")
    extents = [d * (k - 1) + 1 for k, d in zip(op.kernel_size, op.dilation_rate)]
    sizes = _sizes(x)
    edges = [
        _edge(op.padding, n, extent, stride)
        for n, extent, stride in zip(sizes, extents, op.strides)
    ]
    x = tf.pad(x, [(0, 0), *edges, (0, 0)])
    counts = [
        (n + sum(edge) - extent) // stride + 1
        for n, edge, extent, stride in zip(sizes, edges, extents, op.strides)
    ]
    step = _step(counts)
    seen = []
    for place in _places(op.kernel_size):
        cut = [slice(None)]
        for at, n, d, stride in zip(place, counts, op.dilation_rate, op.strides):
            cut.append(slice(at * d, at * d + stride * (n - 1) + 1, stride * step))
        seen.append(x[tuple(cut)])
    together = tf.concat(seen, -1)
    return tf.reshape(together, (-1, len(seen) * x.shape[-1]))


def lattice(y: Any) -> Any:
    """Of a map with channels last, the positions that `windows` takes of it."""
    if len(y.shape) < 3:  # vectors, such as pooling leaves
        return y
    step = _step(_sizes(y))
    return y[(slice(None), *[slice(None, None, step)] * (len(y.shape) - 2))]


def _sizes(x):
    """The sizes of a map in space: whole numbers, or tensors if they are not known."""
    known = x.shape[1:-1]
    return list(known) if None not in known else tf.unstack(tf.shape(x)[1:-1])


def _step(counts):
    if all(isinstance(n, int) for n in counts):
        return math.ceil((math.prod(counts) / _POSITIONS) ** (1 / len(counts)))
    share = tf.cast(tf.reduce_prod(counts), "float64") / _POSITIONS
    return tf.cast(tf.math.ceil(share ** (1 / len(counts))), "int32")


def _edge(padding, size, extent, stride):
    """How many zeros come before and behind an axis."""
    if padding == "same":
        positions = -(-size // stride)
        total = (positions - 1) * stride + extent - size
        total = max(total, 0) if isinstance(total, int) else tf.maximum(total, 0)
        return total // 2, total - total // 2
    return (extent - 1 if padding == "causal" else 0), 0


def _places(shape):
    """The indices of an array of a shape, the last fastest."""
    if not shape:
        return [()]
    return [(k, *rest) for k in range(shape[0]) for rest in _places(shape[1:])]
