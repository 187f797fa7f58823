"""Greedy elimination: which channels to remove, given that the others make up for them.

Removing channel `r` costs, at each kernel that reads it,
`½ Σ_o h_o w_r,oᵀ P_rr⁻¹ w_r,o`: how much its outputs matter times what the channels
that are left cannot tell of `r` (of all its rows, where it has one for each position of
a window). The channel with the least cost per multiply-accumulate saved goes, the
weights and `P` of its readers are updated, and so on (Hassibi and Stork, Optimal Brain
Surgeon, NIPS 1992; for structures, Kurtic et al., ZipLM, arXiv:2302.04089).
"""

import dataclasses
import functools
from collections.abc import Sequence

import keras
import numpy as np

from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.cost_model import cost_model
from hh_keras.graph.weights import variables
from hh_keras.progress import progress
from hh_keras.surgery.compensation import constants, home_of, parts
from hh_keras.surgery.least_squares import RIDGES, best_ridge, inverse, remove
from hh_keras.surgery.moments import LARGEST, Moments
from hh_keras.surgery.readers import readers

_STEP = 0.004  # of the whole cost, removed before costs are looked at again
_QUICKEST = 0.04  # of a group's channels, in one step
_TRIED = 0.25  # of the channels, told from the others to choose the ridge


@dataclasses.dataclass(frozen=True, eq=False)
class _Block:
    """A kernel, or one group of it, and what its channels cost."""

    ids: np.ndarray
    rows: np.ndarray  # (channels, positions of the window)
    matrix: np.ndarray
    importance: np.ndarray  # of each column
    inverse: np.ndarray  # or its diagonal, if there are too many rows
    factor: float

    @functools.cached_property
    def costs(self) -> np.ndarray:
        if self.inverse.ndim == 1:
            lost = self.inverse[self.rows][:, :, None]
        else:
            lost = self.inverse[self.rows[:, :, None], self.rows[:, None, :]]
        weights = self.matrix[self.rows]
        one = lost.shape[-1] == 1
        told = weights / lost if one else np.linalg.solve(lost, weights)
        return 0.5 * (weights * told).sum(1) @ self.importance

    def cautious(self, power: float) -> "_Block":
        importance = self.importance * self.factor**power
        return dataclasses.replace(self, importance=importance, factor=1.0)

    def without(self, gone: np.ndarray) -> "_Block":
        stay = ~gone[self.ids]
        if stay.all():
            return self
        inverse, matrix = self.inverse, self.matrix
        left = np.ones(len(matrix), bool)
        left[self.rows[~stay]] = False
        if inverse.ndim == 2:
            inverse, matrix = remove(inverse, matrix, np.flatnonzero(~left))
            inverse = inverse[:, left]
        return _Block(
            self.ids[stay],
            (np.cumsum(left) - 1)[self.rows[stay]],
            matrix[left],
            self.importance,
            inverse[left[: len(inverse)]],
            self.factor,
        )


def elimination_scores(
    model: keras.Model,
    channel_map: ChannelMap,
    moments: dict[str, Moments],
    min_keep: float = 0.02,
    seed: int = 0,
    cautions: Sequence[float] = (1.0,),
) -> list[np.ndarray]:
    """Scores channels by when they go: the sooner, the lower.

    Args:
        model: the traced model.
        channel_map: its channels.
        moments: of its kernels' inputs, with `energy`.
        min_keep: share of each group that is never removed.
        seed: of the rows by which ridges are chosen.
        cautions: powers of two factors that each kernel's costs are multiplied by:
            how far errors at neighbouring positions add up, and how much more is lost
            on data that were not seen. 0 leaves them out.

    Returns:
        For each caution a float array `(channel_map.size,)`, from 0 for the first to 1
        for those that are left in the end. `select_channels` with a budget of MACs
        takes them in this order.
    """
    blocks = _blocks(model, channel_map, moments, np.random.default_rng(seed))
    with progress(None, "choosing channels", len(cautions)) as bar:
        return [
            _order([b.cautious(power) for b in blocks], channel_map, min_keep, bar)
            for power in cautions
        ]


def _order(blocks, channel_map, min_keep, bar):
    costs = cost_model(channel_map)
    groups = channel_map.groups
    sizes = np.array([len(g) for g in groups])
    group_of = np.repeat(np.arange(len(groups)), sizes)
    least = np.maximum(1, np.ceil(min_keep * sizes)).astype(int)
    kept = sizes.astype(float)
    keep, removable = np.ones(channel_map.size, bool), channel_map.removable
    order = np.full(channel_map.size, channel_map.size)
    whole = now = costs(kept)[0]
    # What no kernel reads has a harm that is not known, not one of 0.
    read = np.zeros(channel_map.size + len(channel_map.products))
    for block in blocks:
        read[block.ids] = 1
    removable = removable & (channel_map.shared_out(read) > 0)
    while True:
        harm = np.zeros(channel_map.size + len(channel_map.products))
        for block in blocks:
            np.add.at(harm, block.ids, block.costs)
        harm = channel_map.shared_out(harm)
        saved = _saved(costs, kept, now, least, groups)
        ratio = harm / np.maximum(saved[group_of], 1e-9)
        ratio[~keep | ~removable | (saved[group_of] <= 0)] = np.inf
        gone = _next(ratio, group_of, kept, least, costs, now - _STEP * whole)
        if not len(gone):
            break
        order[gone] = np.count_nonzero(~keep) + np.arange(len(gone))
        keep[gone] = False
        np.subtract.at(kept, group_of[gone], 1)
        before, now = now, costs(kept)[0]
        bar.update((before - now) / whole)
        out = np.zeros(channel_map.size, bool)
        out[gone] = True
        out = ~channel_map.whole(~out)
        blocks = [block.without(out) for block in blocks]
    return order / channel_map.size


def _saved(costs, kept, now, least, groups):
    """Multiply-accumulates that one channel less of each group saves."""
    saved = np.zeros(len(kept))
    for k, group in enumerate(groups):
        if group.frozen is None and kept[k] > least[k]:
            fewer = kept.copy()
            fewer[k] -= 1
            saved[k] = now - costs(fewer)[0]
    return saved


def _next(ratio, group_of, kept, least, costs, goal):
    """The channels that go in one step, cheapest first."""
    left = kept.copy()
    quota = np.maximum(1, (_QUICKEST * kept).astype(int))
    gone: list[int] = []
    for channel in np.argsort(ratio, kind="stable"):
        if not np.isfinite(ratio[channel]):
            break
        k = group_of[channel]
        if quota[k] <= 0 or left[k] <= least[k]:
            continue
        quota[k] -= 1
        left[k] -= 1
        gone.append(int(channel))
        if len(gone) % 4 == 0 and costs(left)[0] <= goal:
            break
    return np.array(gone, int)


def _blocks(model, channel_map, moments, rng):
    homes = constants(model)
    found = []
    for reader in readers(channel_map):
        home, seen = home_of(reader, homes), moments[reader.name]
        kernel = np.asarray(variables(reader.op)[reader.weight], "float64")
        importance = _importance(reader, seen.energy, kernel)
        alone = _alone(reader, kernel, importance, seen)
        together = seen.removal / alone if seen.removal and alone else 1.0
        groups = zip(parts(reader, home), importance, reader.group_rows())
        for matrix, importance, rows in groups:
            places = np.arange(len(rows)).reshape(reader.positions, -1).T
            known = _inverse(seen, rows, places, matrix, home is not None, rng)
            inverse, optimism = known
            ids, factor = reader.ids[rows[places[:, 0]]], together * optimism
            found.append(_Block(ids, places, matrix, importance, inverse, factor))
    return found


def _importance(reader, energy, kernel):
    """For each group, how much each column's output matters."""
    if reader.part:
        return [np.asarray(energy)]
    if reader.outputs is None:
        outputs = kernel.size // kernel.shape[reader.axis]
        like = np.full(kernel.shape, energy[0] / outputs)
    else:
        shape = [1] * kernel.ndim
        shape[reader.outputs] = -1
        like = np.broadcast_to(energy.reshape(shape), kernel.shape)
    return [matrix[0] for matrix in reader.matrices(like)]


def _alone(reader, kernel, importance, moments):
    """What the removal of each channel does, positions taken one by one, summed.

    Errors at neighbouring positions go the same way, the more the later the layer: by
    how much they add up is what `Moments.removal` tells.
    """
    powers = moments.whole if moments.halves.ndim == 2 else np.diag(moments.whole)
    return sum(
        float((powers[rows] * (matrix**2 @ each)).sum())
        for matrix, each, rows in zip(
            reader.matrices(kernel), importance, reader.group_rows()
        )
    )


def _inverse(moments, rows, places, matrix, ones, rng):
    if len(rows) > LARGEST:
        return 1 / np.maximum(moments.whole[rows], 1e-30), 1.0
    at = np.append(rows, -1)
    halves = moments.halves[:, at][:, :, at]
    if not ones:
        halves = halves[:, :-1, :-1]
    removed = np.zeros(halves.shape[1], bool)
    count = min(max(1, int(_TRIED * len(places))), len(places) - 1)
    removed[places[rng.choice(len(places), count, replace=False)]] = True
    importance = matrix[removed] @ matrix[removed].T
    ridge, optimism = best_ridge(halves, removed, importance, ones)
    if not np.isfinite(ridge):
        ridge = RIDGES[-1]
    share = moments.counts / moments.counts.sum()
    return inverse(np.tensordot(share, halves, 1), ridge, ones), optimism
