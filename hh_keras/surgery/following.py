"""Kernels that follow the small network: each mends what those before it changed.

`compensate` gives every kernel of a smaller network what it needs if it reads what the
original's read. It does not: what it reads was changed by all kernels before it, and
these errors add up. Here the kernels are solved in the order of the network, each for
the original's outputs given what it reads in the small one (the asymmetric targets of
He et al., Channel Pruning, arXiv:1707.06168).
"""

import collections
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from hh_keras.graph import calls
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.program import program
from hh_keras.surgery.compensation import constants, parts, write
from hh_keras.surgery.least_squares import refit
from hh_keras.surgery.moments import LARGEST, rows_read
from hh_keras.surgery.readers import Reader, readers

MEMORY = 2 << 30  # bytes of tensors that are kept between two kernels


def follow(
    model: keras.Model,
    small: keras.Model,
    channel_map: ChannelMap,
    keep: np.ndarray,
    batches: Iterable,
    memory: int = MEMORY,
) -> keras.Model:
    """Solves a rebuilt network's kernels one after another, for what they read in it.

    Both networks run once, side by side, from kernel to kernel. Kernels that are called
    several times are left as they are.

    Args:
        model: the original, as it was traced.
        small: `rebuild(model, plan)`, with inherited weights; they are changed.
        channel_map: of the original.
        keep: bool `(channel_map.size,)`, the plan's channels.
        batches: of inputs, each an array or the structure that the model takes.
        memory: bytes of the tensors kept; of the batches, as many are read as fit.

    Returns:
        `small`.
    """
    both = _Both(model, small)
    times, homes = collections.Counter(both.paths), constants(model)
    layers = dict(calls.leaf_operations(small))
    solved = {
        reader.path: reader
        for reader in readers(channel_map)
        if times[reader.path] == 1 and len(reader.ids) <= LARGEST
    }
    places = [k for k, path in enumerate(both.paths) if path in solved]
    live = both.started(batches, places, memory)
    start = 0
    for place in places:
        reader = solved[both.paths[place]]
        kept = keep[reader.ids]
        halves: list = [[], []]
        for number, tensors in enumerate(live):
            both.run(start, place, tensors)
            x, z = both.read(place, reader, tensors)
            x = rows_read(reader, reader.op, x, len(kept))
            z = rows_read(reader, layers[reader.path], z, int(kept.sum()))
            halves[number % 2].append(_moments(x, z))
        sums = [[sum(each) for each in zip(*half)] for half in halves if half]
        home = homes.get(reader.path)
        matrices = _solved(reader, kept, home, sums if len(sums) == 2 else sums * 2)
        write(reader, matrices, channel_map, keep, layers, home)
        start = place
    return small


class _Both:
    """Two networks of the same steps, side by side."""

    def __init__(self, model: keras.Model, small: keras.Model) -> None:
        self.programs = program(model), program(small)
        self.paths, paths = ([s.path for s in p.steps] for p in self.programs)
        if self.paths != paths:
            raise ValueError(f"'{small.name}' has other steps than '{model.name}'.")
        self.last: dict = {}
        for each in self.programs:
            for number, step in enumerate(each.steps):
                self.last |= dict.fromkeys(step.reads, number)

    def started(self, batches: Iterable, places: list[int], memory: int) -> list[dict]:
        """The inputs' tensors of as many batches as fit."""
        live: list[dict] = []
        most = 1
        for inputs in batches:
            flat = [tf.convert_to_tensor(x) for x in keras.tree.flatten(inputs)]
            values = [v for each in self.programs for v in each.inputs]
            live.append(dict(zip(values, flat * 2)))
            if len(live) == 1:
                most = max(2, memory // self._bytes(dict(live[0]), places))
            if len(live) == most:
                break
        return live

    def _bytes(self, tensors, places):
        """The most that one batch holds where a kernel is solved."""
        most, start = 1, 0
        for place in places:
            self.run(start, place, tensors)
            sizes = (int(tf.size(x)) * x.dtype.size for x in tensors.values())
            most, start = max(most, sum(sizes)), place
        return most

    def run(self, start: int, stop: int, tensors: dict) -> None:
        """Runs some of the steps; tensors that nothing reads any more are let go."""
        for number in range(start, stop):
            for each in self.programs:
                each.steps[number].run(tensors)
            for value in [v for v in tensors if self.last.get(v, -1) <= number]:
                del tensors[value]

    def read(self, place: int, reader: Reader, tensors: dict) -> list:
        """What a kernel reads in each of the two."""
        at = reader.input[0]
        return [tensors[each.steps[place].reads[at]] for each in self.programs]


def _moments(x, z):
    across, own = (tf.matmul(a, z, transpose_a=True).numpy() for a in (x, z))
    return across.astype("float64"), own.astype("float64"), len(z)


def _solved(reader, kept, home, sums):
    """The kernel's matrices, of the original's size, for what is read in the small."""
    counts = np.array([count for *_, count in sums], float)
    across = np.stack([each / n for each, _, n in sums])
    own = np.stack([each / n for _, each, n in sums])
    place = np.cumsum(kept) - 1  # of a row, in the small network
    matrices = []
    for matrix, rows in zip(parts(reader, home), reader.group_rows()):
        mine = np.append(place[rows[kept[rows]]], -1)
        given = across[:, np.append(rows, -1)][:, :, mine]
        taken = own[:, mine][:, :, mine]
        weights, stay = matrix[: len(rows)], kept[rows]
        found = refit(weights, weights[stay], given, taken, counts, home is not None)
        matrix = np.zeros_like(matrix)
        matrix[: len(rows)][stay] = found[: stay.sum()]
        if home is not None:
            matrix[-1] = found[-1]
        matrices.append(matrix)
    return matrices
