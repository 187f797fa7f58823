"""Second moments of what is read, in one pass over calibration data.

For each kernel the mean of `x xᵀ` over examples and positions, `x` being the channels
that it reads (at each position of its window, where these are told apart) and a one, so
that means are in it too. In halves of the batches, of which
one can be predicted by the other.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import SearchError
from hh_keras.graph import calls
from hh_keras.graph.compiling import compiled
from hh_keras.graph.inference import infer
from hh_keras.graph.weights import variables
from hh_keras.surgery.readers import Reader, tapped
from hh_keras.surgery.windows import lattice, windows

LARGEST = 4096  # rows whose moments are a matrix: 134 MB


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Of one kernel's inputs.

    Attributes:
        halves: float64 `(2, rows + 1, rows + 1)`, the mean of `x xᵀ` over every second
            batch and over the others; the last row and column are of the ones. With
            more rows than `LARGEST` only its diagonal, `(2, rows + 1)`.
        counts: how many `x` each half was made of, `(2,)`.
        energy: float64 `(outputs,)`, the mean over examples of the sum over positions
            of the squared gradient at each output channel; `(1,)` if the kernel has no
            axis of outputs. None without a `distance`.
        removal: the mean over examples of the squared slope of the distance along a
            scale at each channel, summed over the channels: what removing them does,
            all positions taken together, where `energy` takes each by itself.
    """

    halves: np.ndarray
    counts: np.ndarray
    energy: np.ndarray | None
    removal: float | None = None

    @property
    def whole(self) -> np.ndarray:
        """The mean over all batches."""
        share = self.counts / self.counts.sum()
        return np.tensordot(share, self.halves, 1)


def collect(
    model: keras.Model,
    readers: list[Reader],
    batches: Iterable,
    distance: Callable | None = None,
) -> dict[str, Moments]:
    """Runs a model, in inference mode, on calibration data.

    Args:
        model: the model that the readers are of; it is not changed.
        readers: of `hh_keras.surgery.readers.readers`.
        batches: of inputs, each an array or the structure that the model takes.
        distance: `distance(outputs, batch number) → scalar`, whose gradient at the
            kernels' outputs says how much these matter; summed over the examples.

    Returns:
        Layer name → `Moments`. Memory is that of the moments, not of the data.

    Raises:
        SearchError: no data, or activations that are not finite; the message names the
            layer.
    """
    run = _runner(model, readers, distance)
    sums: dict[str, list] = {}
    examples = 0
    for number, inputs in enumerate(batches):
        flat = [tf.convert_to_tensor(x) for x in keras.tree.flatten(inputs)]
        examples += int(flat[0].shape[0])
        for path, (moment, count, energy, removal) in run(flat, number).items():
            into = sums.setdefault(path, [[0.0, 0.0], [0.0, 0.0], 0.0, 0.0])
            into[0][number % 2] = into[0][number % 2] + moment.numpy()
            into[1][number % 2] += float(count)
            into[2] = into[2] + energy.numpy()
            into[3] += float(removal)
    if not examples:
        raise SearchError("the calibration data is empty: no batch to learn from.")
    return {
        path: _mean(path, moments, counts, energy / examples, removal / examples)
        for path, (moments, counts, energy, removal) in sums.items()
    }


def _mean(path, moments, counts, energy, removal):
    if not all(np.isfinite(each).all() for each in moments):
        raise SearchError(
            f"what layer '{path}' reads is not finite on the calibration data: check "
            "the inputs (NaN pixels? another range than in training?)."
        )
    if not counts[1]:  # one batch only
        moments, counts = [moments[0] / 2] * 2, [counts[0] / 2] * 2
    halves = np.stack([m / n for m, n in zip(moments, counts)])
    return Moments(halves, np.array(counts), energy, removal)


def _runner(model, readers, distance):
    by_path: dict[str, list[Reader]] = {}
    for reader in readers:
        by_path.setdefault(reader.path, []).append(reader)

    def forward(inputs):
        seen = []

        def step(path, call, args, kwargs):
            own_readers = by_path.get(path, [])
            if own_readers and own_readers[0].part:
                parts = [reader.part for reader in own_readers]
                outputs, taps = tapped(call.op, parts, args, kwargs)
                seen.extend((reader, *taps[reader.part]) for reader in own_readers)
                return keras.tree.flatten(outputs)
            for reader in own_readers:
                # A tensor of this reader's own, whose slope is that of no other.
                flat = keras.tree.flatten((args, kwargs))
                places = [k for k, value in enumerate(flat) if tf.is_tensor(value)]
                at = places[reader.input[0]]
                x, own = flat[at], tf.identity(flat[at])
                flat[at] = own
                args, kwargs = keras.tree.pack_sequence_as((args, kwargs), flat)
            outputs = keras.tree.flatten(infer(call.op, args, kwargs))
            for reader in own_readers:
                seen.append((reader, x, own, outputs[0]))
            return outputs

        return calls.interpret(model, inputs, step), seen

    def run(inputs, number):
        with tf.GradientTape() as tape:
            outputs, seen = forward(inputs)
            value = distance(outputs, number) if distance else None
        slopes = [(None, None)] * len(seen)
        if distance:
            pairs = [(own, y) for _, _, own, y in seen]
            slopes = tape.gradient(value, pairs)
        known: dict = {}
        found: dict = {}
        for (reader, x, *_), (slope_in, slope_out) in zip(seen, slopes):
            each = (
                *_moment(reader, x, known),
                _energy(reader, slope_out),
                _removal(reader, x, slope_in),
            )
            before = found.get(reader.name, (0.0,) * 4)
            # Calls of one layer share its kernel.
            found[reader.name] = tuple(a + b for a, b in zip(before, each))
        return found

    on_any = compiled(model, run, eager=0)
    return lambda inputs, number: on_any(inputs, tf.constant(number))


def _moment(reader, x, known):
    """The sum of `x xᵀ` and how many; known if another kernel reads the same tensor."""
    op, axis, rows = reader.op, reader.input[1], len(reader.ids)
    key: tuple = id(x), axis, rows, reader.weight == "pointwise_kernel"
    if reader.window:
        key += op.kernel_size, op.strides, op.padding, op.dilation_rate
    if key in known:
        return known[key]
    x = rows_read(reader, op, x, rows)
    count = tf.cast(tf.shape(x)[0], "float64")
    if rows > LARGEST:
        moment = tf.reduce_sum(x * x, 0)
    else:
        moment = tf.matmul(x, x, transpose_a=True)
    known[key] = tf.cast(moment, "float64"), count
    return known[key]


def rows_read(reader: Reader, op: Any, x: Any, rows: int) -> Any:
    """What a kernel multiplies, and a one.

    Args:
        reader: the kernel.
        op: its layer, in the original or in a smaller network.
        x: the tensor that it reads.
        rows: how many rows the kernel has there.

    Returns:
        float32 `(examples and positions, rows + 1)`.
    """
    if reader.weight == "pointwise_kernel":
        x = keras.ops.depthwise_conv(
            x,
            tf.cast(op.depthwise_kernel, x.dtype),
            op.strides,
            op.padding,
            op.data_format,
            op.dilation_rate,
        )
    if reader.part:
        x = keras.ops.reshape(x, (-1, *x.shape[1 : -reader.rows], rows))
    x = tf.cast(keras.ops.moveaxis(x, reader.input[1], -1), "float32")
    if reader.window:
        x = windows(op, x)
    else:
        x = tf.reshape(lattice(x), (-1, rows))
    return tf.concat([x, tf.ones_like(x[:, :1])], 1)


def _removal(reader, x, slope):
    """The sum over examples and channels of the squared slope along a scale."""
    if slope is None:
        return tf.zeros((), "float64")
    along = keras.ops.moveaxis(tf.cast(x * slope, "float32"), reader.input[1], -1)
    size = along.shape[-1]
    if reader.weight != "pointwise_kernel":
        # A Flatten holds each channel many times.
        size = len(reader.ids) // reader.positions
    along = tf.reshape(along, (tf.shape(along)[0], -1, size))
    return tf.reduce_sum(tf.cast(tf.reduce_sum(along, 1), "float64") ** 2)


def _energy(reader, slope):
    if slope is None:
        return tf.zeros((1,), "float64")
    square = tf.cast(slope, "float64") ** 2
    if reader.part:
        size = variables(reader.op)[reader.weight].shape
        columns = math.prod(size[reader.rows :])
        return tf.reduce_sum(tf.reshape(square, (-1, columns)), 0)
    if reader.outputs is None:
        return tf.reduce_sum(square)[None]
    rank = len(square.shape)
    first = getattr(reader.op, "data_format", None) == "channels_first"
    channel = 1 if first and rank > 2 else rank - 1
    return tf.reduce_sum(square, [a for a in range(rank) if a != channel])
