"""Blocks are taken in order as long as they fit, and nothing fits besides."""

import numpy as np
import pytest

from hh_keras.search.filling import Blocks, blocks, exchange, fill, top_up, use


def test_blocks_are_sorted_by_the_mean_of_their_scores():
    ranked = [np.array([9.0, 5.0, 4.0, 1.0]), np.array([6.0, 6.0, 0.0])]
    found = blocks(ranked, np.array([1, 0]), [2, 2])
    assert found.owner.tolist() == [1, 0, 0, 1]  # means 6, 4.5, 1, 0
    assert found.amount.tolist() == [2, 2, 1, 1]


def test_the_limit_that_is_nearest_counts_and_unknown_costs_do_not():
    assert use((50, 30), (100, 40)) == 0.75
    assert use((50, np.nan), (100, 40)) == use((50, 9), (100, np.inf)) == 0.5


def problem(seed):
    """Random blocks, and a cost that is a product of neighbouring counts."""
    rng = np.random.default_rng(seed)
    ranked = [-np.sort(-rng.random(n)) for n in rng.integers(3, 12, 5)]
    floors = np.ones(5, int)
    found = blocks(ranked, floors, rng.integers(1, 4, 5))

    def costs(kept):
        return float(kept[:-1] @ kept[1:]), float(kept.sum())

    whole = costs(np.array([len(each) for each in ranked]))
    share = rng.uniform(0.3, 0.9)
    return costs, found, floors, (share * whole[0], np.inf)


@pytest.mark.parametrize("seed", range(40))
def test_filling_takes_the_longest_run_and_then_what_fits(seed):
    costs, found, floors, limits = problem(seed)
    kept, stopped, full = floors.copy(), False, set()
    for g, n in zip(found.owner, found.amount):
        more = kept + n * (np.arange(5) == g)
        if g not in full and use(costs(more), limits) <= 1:
            kept = more
        else:
            full, stopped = full | {g}, True
    assert stopped
    np.testing.assert_array_equal(fill(costs, found, floors, limits), kept)


@pytest.mark.parametrize("over, taken", [(0, 3), (1e-9, 2)])
def test_a_limit_is_met_to_the_last_digit(over, taken):
    """One block each to three groups of one channel: three fit, or two."""
    found = Blocks(np.arange(3), np.ones(3, int))
    kept = fill(lambda n: (n.sum(),), found, np.zeros(3, int), (3 * (1 - over),))
    assert kept.sum() == taken


@pytest.mark.parametrize("owner", [[0, 1, 2], [0, 2, 1], [1, 2, 0], [2, 1, 0]])
def test_what_is_exchanged_are_blocks_of_nearly_the_same_scores(owner):
    """Group 0 gives; 1 or 2 takes, at twice the price: the one beside 0's block."""
    found = Blocks(np.array(owner), np.ones(3, int))
    kept = exchange(
        lambda n: (n @ [1, 2, 2],), found, np.zeros(3, int), (2,), np.array([1, 0, 0])
    )
    assert kept.tolist() == [int(g == owner[1]) for g in range(3)]


@pytest.mark.parametrize("seed", range(20))
def test_exchanges_and_smaller_steps_use_more_and_never_too_much(seed):
    costs, found, floors, limits = problem(seed)
    first = fill(costs, found, floors, limits)
    second = exchange(costs, found, floors, limits, first)
    sizes = floors + np.bincount(found.owner, found.amount, 5).astype(int)
    owner = np.repeat(np.arange(5), sizes - second)
    single = Blocks(owner, np.ones(len(owner), int))
    third = top_up(costs, single, second, limits)
    uses = [use(costs(kept), limits) for kept in (first, second, third)]
    assert uses == sorted(uses) and uses[2] <= 1
    assert (floors <= third).all() and (third <= sizes).all()
    left = [third + (np.arange(5) == g) for g in range(5) if third[g] < sizes[g]]
    assert uses[2] >= 0.98 or all(use(costs(more), limits) > 1 for more in left)
