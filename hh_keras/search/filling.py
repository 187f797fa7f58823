"""Filling a budget with channels that come in blocks."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

ENOUGH, LEAST = 0.99, 0.98  # of a limit
_EXCHANGES, _TRIED = 64, 16
_EXACT, _EXACT_OF_SEVERAL = 400, 2500  # pairs of moves


@dataclasses.dataclass(frozen=True, eq=False)
class Blocks:
    """Channels above the floors, in the order in which they are taken.

    Attributes:
        owner: int array `(blocks,)`, the group of each.
        amount: int array `(blocks,)`, its channels.
    """

    owner: np.ndarray
    amount: np.ndarray


def blocks(
    ranked: Sequence, floors: Any, steps: Sequence[int], kept: Any = None
) -> Blocks:
    """Cuts every group into blocks, and sorts all by the mean score of their channels.

    Args:
        ranked: for each group its channels' scores, falling.
        floors: int array `(groups,)`, channels that stay anyway.
        steps: channels of a block, for each group; the last one takes what is left.
        kept: int array `(groups,)`, counts at which a block ends, too.
    """
    worth, owner, amount = [], [], []
    for g, scores in enumerate(ranked):
        rest = scores[floors[g] :]
        edges = np.arange(0, len(rest), steps[g])
        if not len(edges):
            continue
        if kept is not None:
            edges = np.union1d(edges, kept[g] - floors[g])
            edges = edges[edges < len(rest)]
        sizes = np.diff(np.append(edges, len(rest)))
        worth.append(np.add.reduceat(rest, edges) / sizes)
        owner.append(np.full(len(edges), g))
        amount.append(sizes)
    if not worth:
        return Blocks(np.zeros(0, int), np.zeros(0, int))
    order = np.argsort(-np.concatenate(worth), kind="stable")
    return Blocks(np.concatenate(owner)[order], np.concatenate(amount)[order])


def use(cost: Sequence[float], limits: Sequence[float]) -> float:
    """The share of the limit that is nearest to being used up; above 1 if exceeded."""
    # NaN is a cost that is not known; the limit on it, if any, was refused before.
    shares = [c / limit for c, limit in zip(cost, limits) if c == c and limit < np.inf]
    return max(shares, default=0.0)


def fill(costs: Callable, found: Blocks, floors: Any, limits: Sequence) -> np.ndarray:
    """Takes the longest run of blocks that fits, then what still fits, in order.

    Returns:
        Int array `(groups,)`, the kept counts.
    """
    owner, amount = found.owner, found.amount

    def counts(n):
        return floors + np.bincount(owner[:n], amount[:n], len(floors)).astype(int)

    low, high = 0, len(owner)
    while low < high:
        middle = (low + high + 1) // 2
        fits = use(costs(counts(middle)), limits) <= 1
        low, high = (middle, high) if fits else (low, middle - 1)
    kept, full = counts(low), set()
    for g, n in zip(owner[low:], amount[low:]):
        if g in full:
            continue
        kept[g] += n
        if use(costs(kept), limits) > 1:
            kept[g] -= n
            full.add(g)
    return kept


def exchange(
    costs: Callable,
    found: Blocks,
    floors: Any,
    limits: Sequence,
    kept: np.ndarray,
    most: int = 1,
    far: bool = False,
) -> np.ndarray:
    """Uses what coarse blocks leave of a budget: one group gives, another takes.

    Of the pairs that bring the use of the budget to `ENOUGH` (`LEAST` if several blocks
    move) it takes the one whose blocks are nearest in the order of the scores, else the
    one that uses most.

    Args:
        costs, found, floors, limits: as for `fill`.
        kept: int array `(groups,)`, the counts before.
        most: blocks that a group gives or takes at a time.
        far: also twice as many, and so on up to all: a block of one group may cost as
            much as most of another.

    Returns:
        Int array `(groups,)`, the counts after as many exchanges as help.
    """
    places = [np.flatnonzero(found.owner == g) for g in range(len(floors))]
    kept = kept.copy()
    taken = [
        int(np.searchsorted(np.cumsum(found.amount[own]), n, "right"))
        for own, n in zip(places, kept - floors)
    ]

    def moved(counts, g, moves, sign):
        counts = counts.copy()
        counts[g] += sign * found.amount[moves].sum()
        return counts

    def cost_of(every, sign):
        now = costs(kept)
        known = [np.array(costs(moved(kept, *move, sign))) - now for move in every]
        return np.array(known).reshape(len(every), -1)

    enough = ENOUGH if most == 1 else LEAST
    for _ in range(_EXCHANGES):
        before = use(costs(kept), limits)
        if before >= enough:
            break
        state = list(enumerate(zip(places, taken)))
        less = [
            (g, own[n - k : n]) for g, (own, n) in state for k in _lengths(n, most, far)
        ]
        more = [
            (g, own[n : n + k])
            for g, (own, n) in state
            for k in _lengths(len(own) - n, most, far)
        ]
        if not (less and more):
            break
        if len(less) * len(more) <= (_EXACT if most == 1 else _EXACT_OF_SEVERAL):
            both = [[moved(moved(kept, *a, -1), *b, 1) for b in more] for a in less]
            after = np.array([[costs(counts) for counts in row] for row in both])
        else:
            # Costs are products of counts: the sum of both changes is a good guess.
            after = np.array(costs(kept)) + (
                cost_of(less, -1)[:, None] + cost_of(more, 1)[None]
            )
        guess = _uses(after, limits)
        for i, j in _preferred(guess, less, more, before, enough):
            (g, given), (h, got) = less[i], more[j]
            counts = moved(moved(kept, g, given, -1), h, got, 1)
            if before < use(costs(counts), limits) <= 1:
                kept, taken[g], taken[h] = (
                    counts,
                    taken[g] - len(given),
                    taken[h] + len(got),
                )
                break
        else:
            break
    return kept


def _lengths(n, most, far):
    """How many of `n` blocks may move at a time."""
    few = list(range(1, min(n, most) + 1))
    if not far or n <= most:
        return few
    many = [2**k * most for k in range(1, n.bit_length()) if 2**k * most < n]
    return [*few, *many, n]


def top_up(
    costs: Callable, found: Blocks, kept: np.ndarray, limits: Sequence
) -> np.ndarray:
    """Adds blocks of smaller steps, one by one, while less than `LEAST` is used.

    The block that brings the use to `LEAST` with the best scores comes first, else the
    largest that fits: few groups get counts that are no multiples.

    Returns:
        Int array `(groups,)`, the counts.
    """
    kept, taken = kept.copy(), np.zeros(len(found.owner), bool)
    while use(costs(kept), limits) < LEAST:
        best, most, tried = None, 0.0, set()
        for block, (g, n) in enumerate(zip(found.owner, found.amount)):
            if most >= LEAST:
                break
            if taken[block] or (g, n) in tried:  # costs what a better one does
                continue
            tried.add((g, n))
            counts = kept.copy()
            counts[g] += n
            share = use(costs(counts), limits)
            if most < share <= 1:
                best, most = block, share
        if best is None:
            break
        kept[found.owner[best]] += found.amount[best]
        taken[best] = True
    return kept


def _uses(costs, limits):
    """`use` of many costs, array `(..., limits)`."""
    limits = np.array(limits[: costs.shape[-1]], float)
    known = np.where(np.isfinite(limits), costs / limits, 0)
    return known.max(-1, initial=0)


def _preferred(guess, less, more, before, enough):
    """The few best pairs of moves, as pairs of indices."""
    # From the best block that is given to the worst that is taken.
    given, got = [moves[0] for _, moves in less], [moves[-1] for _, moves in more]
    far = np.abs(np.subtract.outer(given, got))
    same = np.equal.outer([g for g, _ in less], [g for g, _ in more])
    fits = (guess <= 1) & (guess > before) & ~same
    # Nearest first among those that use enough, then those that use most.
    rank = np.where(guess >= enough, far / far.max(initial=1) - 2, -guess)
    order = np.argsort(np.where(fits, rank, np.inf), axis=None, kind="stable")
    best = order[: min(_TRIED, int(fits.sum()))]
    return zip(*np.unravel_index(best, guess.shape))
