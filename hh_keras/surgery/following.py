"""Kernels that follow the small network: each mends what those before it changed.

`compensate` gives every kernel of a smaller network what it needs if it reads what the
original's read. It does not: what it reads was changed by all kernels before it, and
these errors add up. Here the kernels are solved in the order of the network, each for
the original's outputs given what it reads in the small one (the asymmetric targets of
He et al., Channel Pruning, arXiv:1707.06168).
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from hh_keras.graph import calls
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.program import in_step, program
from hh_keras.graph.weights import variables
from hh_keras.progress import progress
from hh_keras.surgery import gains, streams
from hh_keras.surgery.compensation import constants, home_of, parts, write
from hh_keras.surgery.least_squares import refit
from hh_keras.surgery.moments import LARGEST, rows_read
from hh_keras.surgery.readers import Reader, readers, tapped
from hh_keras.surgery.windows import lattice

MEMORY = 2 << 30  # bytes of tensors that are kept between two kernels
# A kernel is told enough by so many vectors for each of its rows, if they are of so
# many examples: large maps have a thousand each.
VECTORS, EXAMPLES = 64, 128


def follow(
    model: keras.Model,
    small: keras.Model,
    channel_map: ChannelMap,
    keep: np.ndarray,
    solved: dict[str, list[np.ndarray]],
    batches: Iterable,
    memory: int = MEMORY,
) -> keras.Model:
    """Solves a rebuilt network's kernels one after another, for what they read in it.

    Both networks run side by side, from kernel to kernel, on as many of the batches as
    tell enough. What goes into a sum mends the error of the sum; depthwise kernels and
    normalisations over channels get gains and offsets. Kernels that are called several
    times are left as they are.

    Args:
        model: the original, as it was traced.
        small: what `compensate` returned; its weights are changed.
        channel_map: of the original.
        keep: bool `(channel_map.size,)`, the plan's channels.
        solved: `compensation.solutions`, from which as little as need be is changed.
        batches: of inputs, each an array or the structure that the model takes.
        memory: bytes of tensors that are kept between two kernels; what does not fit
            is computed again.

    Returns:
        `small`.
    """
    both, keep = _Both(model, small, batches, memory), channel_map.whole(keep)
    times, homes = collections.Counter(both.paths), constants(model)
    layers = dict(calls.leaf_operations(small))
    followed = collections.defaultdict(list)
    for reader in readers(channel_map):
        if times[reader.path] == 1 and len(reader.ids) <= LARGEST:
            followed[reader.path].append(reader)
    scaled = {
        path
        for path, op in calls.leaf_operations(model)
        if gains.takes(op) and times[path] == 1 and path in homes
    }
    sums = streams.streams(both.programs[0])
    for place, path in enumerate(progress(both.paths, "mending kernels")):
        if path in scaled:
            axes = channel_map.sites[path].weights.get(gains.weight(layers[path]))
            ids = axes and gains.channels(layers[path], axes)
            if ids is None:  # it works over positions
                continue
            halves = _outputs(both, place, keep[ids])
            gains.mend(path, halves, layers, homes[path])
        for reader in followed.get(path, []):
            home = home_of(reader, homes)
            stream = _Summand.of(reader, sums.get(place), channel_map, keep, layers)
            seen = _seen(both, place, reader, layers[path], keep, stream)
            first = solved.get(reader.name) or parts(reader, home)
            matrices = _solved(reader, keep[reader.ids], first, home, seen, stream)
            write(reader, matrices, channel_map, keep, layers, home)
    return small


def _outputs(both, place, keep):
    """Of a layer of gains in the two networks, see `gains.sums`."""
    halves, number, examples = np.zeros((2, 6, int(keep.sum()))), 0, 0
    axis = gains.axis(both.programs[0].steps[place].op)
    for number, tensors in enumerate(both.reach(place)):
        y, z = (
            lattice(keras.ops.moveaxis(t, axis, -1)) for t in both.made(place, tensors)
        )
        y = tf.boolean_mask(y, keep, axis=len(y.shape) - 1)
        halves[number % 2] += gains.sums(y, z)
        examples += len(y)
        if number % 2 and examples >= EXAMPLES:
            break
    return halves if number else np.repeat(halves[:1], 2, 0)


def _seen(both, place, reader, op, keep, stream):
    """The moments of what a kernel reads, in halves: `(across, own, count)` of each."""
    halves: list = [[], []]
    kept, examples, vectors = keep[reader.ids], 0, 0
    for number, tensors in enumerate(both.reach(place)):
        x, z = both.read(place, reader, dict(tensors))
        missing = stream.missing(both.programs, tensors) if stream else None
        examples += len(x)
        x = rows_read(reader, reader.op, x, len(kept))
        z = rows_read(reader, op, z, int(kept.sum()))
        if stream is not None:
            width = len(stream.columns)
            # One that is broadcast over places is not mended.
            if missing is None or len(missing) != len(x):
                missing = tf.zeros((len(x), width))
            x = tf.concat([x[:, :-1], missing, x[:, -1:]], 1)
        halves[number % 2].append(_moments(x, z))
        vectors += len(x)
        if number % 2 and examples >= EXAMPLES and vectors >= VECTORS * len(kept):
            break
    sums = [[sum(each) for each in zip(*half)] for half in halves if half]
    return sums if len(sums) == 2 else sums * 2


@dataclasses.dataclass(frozen=True, eq=False)
class _Summand:
    """A kernel whose outputs go into a sum.

    Attributes:
        stream: the other summands.
        axis: of the channels in them.
        keep: bool, the original's channels in them that stay, or None.
        columns: those of the kernel's matrix that stay.
        share: float `(columns,)`, of the sum's error that each is to mend.
    """

    stream: streams.Stream
    axis: int
    keep: np.ndarray | None
    columns: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, reader, stream, channel_map, keep, layers):
        """None if the kernel's positions are not those of the sum."""
        op = reader.op
        if reader.part == "_output_dense":
            return cls._of_attention(reader, stream, channel_map, keep)
        if stream is None or reader.groups > 1 or reader.outputs is None:
            return None
        shape = variables(op)[reader.weight].shape
        if not reader.window:
            each = shape[reader.axis] == len(reader.ids)  # no Flatten before it
            extents = *getattr(op, "kernel_size", ()), *getattr(op, "strides", ())
            if not each or set(extents) - {1}:
                return None
        ids = channel_map.sites[reader.path].weights[reader.weight][reader.outputs]
        size = shape[reader.outputs]
        kept = None if ids is None else keep[ids]
        columns = np.arange(size) if kept is None else np.flatnonzero(kept)
        share = np.ones(len(columns))
        if stream.norm is not None:
            share = streams.through(layers[stream.norm])
        return cls(stream, reader.input[1], kept, columns, share)

    @classmethod
    def _of_attention(cls, reader, stream, channel_map, keep):
        if stream is None or stream.norm is not None:
            return None
        kept = keep[channel_map.sites[reader.path].weights[reader.weight][-1]]
        columns = np.flatnonzero(kept)
        return cls(stream, -1, kept, columns, np.ones(len(columns)))

    def missing(self, programs, tensors):
        """How much the sum lacks at each position, `(positions, columns)`.

        None if it is not known yet, or if one channel is added to all.
        """
        pairs = self.stream.missing(programs, tensors)
        size = len(self.columns) if self.keep is None else len(self.keep)
        if pairs is None or any(x.shape[self.axis] != size for x, _ in pairs):
            return None
        d = streams.difference(pairs, self.keep, self.axis)
        d = lattice(d) * tf.cast(self.share, d.dtype)
        return tf.reshape(d, (-1, len(self.columns)))


class _Both:
    """Two networks of the same steps, side by side, on some batches."""

    def __init__(
        self, model: keras.Model, small: keras.Model, batches: Iterable, memory: int
    ) -> None:
        first, second = program(model), program(small)
        self.programs = first, in_step(first, second) or second
        self.paths, paths = ([s.path for s in p.steps] for p in self.programs)
        if self.paths != paths:
            raise ValueError(f"'{small.name}' has other steps than '{model.name}'.")
        self.last: dict = {}
        for each in self.programs:
            for number, step in enumerate(each.steps):
                self.last |= dict.fromkeys(step.reads, number)
        values = [v for each in self.programs for v in each.inputs]
        self.memory = memory
        self.live = [
            (0, dict(zip(values, keras.tree.flatten(inputs) * 2))) for inputs in batches
        ]
        self.sizes = [0] * len(self.live)

    def reach(self, place: int) -> Iterator[dict]:
        """The tensors of each batch where a step is about to run.

        They are kept, to go on from there, as far as they fit; other batches will be
        run again from where they were kept.
        """
        for k, (start, tensors) in enumerate(self.live):
            tensors = {v: tf.convert_to_tensor(x) for v, x in tensors.items()}
            self.run(start, place, tensors)
            size = sum(int(tf.size(x)) * x.dtype.size for x in tensors.values())
            if sum(self.sizes) - self.sizes[k] + size <= self.memory:
                self.live[k], self.sizes[k] = (place, tensors), size
            yield tensors

    def run(self, start: int, stop: int, tensors: dict) -> None:
        """Runs some of the steps; tensors that nothing reads any more are let go."""
        for number in range(start, stop):
            for each in self.programs:
                each.steps[number].run(tensors)
            for value in [v for v in tensors if self.last.get(v, -1) <= number]:
                del tensors[value]

    def made(self, place: int, tensors: dict) -> list:
        """What a step puts out in each of the two."""
        found = []
        for each in self.programs:
            after = dict(tensors)
            each.steps[place].run(after)
            found.append(after[each.steps[place].outputs[0]])
        return found

    def read(self, place: int, reader: Reader, tensors: dict) -> list:
        """What a kernel reads in each of the two."""
        at = reader.input[0]
        if reader.part:
            return [
                _tapped(each.steps[place], reader.part, tensors)
                for each in self.programs
            ]
        return [tensors[each.steps[place].reads[at]] for each in self.programs]


def _tapped(step, part, tensors):
    """What a layer inside a step's operation reads."""
    args, kwargs = step.filled(tensors)
    return tapped(step.op, [part], args, kwargs)[1][part][0]


def _moments(x, z):
    across, own = (tf.matmul(a, z, transpose_a=True).numpy() for a in (x, z))
    return across.astype("float64"), own.astype("float64"), len(z)


def _solved(reader, kept, first, home, sums, stream):
    """The kernel's matrices, of the original's size, for what is read in the small.

    `first` are those that are right for what the original reads.
    """
    counts = np.array([count for *_, count in sums], float)
    across = np.stack([each / n for each, _, n in sums])
    own = np.stack([each / n for _, each, n in sums])
    place = np.cumsum(kept) - 1  # of a row, in the small network
    size = len(kept)
    found = []
    for start, whole, rows in zip(first, parts(reader, home), reader.group_rows()):
        mine = np.append(place[rows[kept[rows]]], -1)
        wanted, read = whole[: len(rows)], rows
        if stream is not None:  # what the sum lacks counts as read, each by its output
            wanted = np.vstack([wanted, np.eye(wanted.shape[1])[stream.columns]])
            read = np.append(rows, np.arange(size, across.shape[1] - 1))
        given = across[:, np.append(read, -1)][:, :, mine]
        taken = own[:, mine][:, :, mine]
        stay = kept[rows]
        weights = refit(
            wanted, start[: len(rows)][stay], given, taken, counts, home is not None
        )
        matrix = np.zeros_like(whole)
        matrix[: len(rows)][stay] = weights[: stay.sum()]
        if home is not None:
            matrix[-1] = weights[-1]
        found.append(matrix)
    return found
