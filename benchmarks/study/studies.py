"""Which runs make which study."""

import itertools

from study.runs import Run, Search

PAIRS = (
    ("vgg11_eighth", "cifar10:5000@16"),
    ("resnet8_half", "cifar10:5000@16"),
    ("vgg11_eighth", "fashion:5000@16"),
    ("resnet8_half", "fashion:5000@16"),
)


def runs(pairs, variants, seeds, budget=1.0):
    """Every variant on every pair, seed by seed; searches have the run's own seed."""
    for seed, pair, (kind, search) in itertools.product(seeds, pairs, variants):
        yield Run(*pair, kind, seed, budget, seed, search)


def probe():
    """How much seeds differ, and what random counts and the first ideas do."""
    searches = Search("balanced"), Search(), Search(per_cost=1)
    variants = [("original", None), *(("lwdna", s) for s in searches), ("random", None)]
    yield from runs(PAIRS, variants, range(6))


STUDIES = {"probe": probe}
