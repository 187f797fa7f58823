"""Which runs make which study; one that was cut short goes on when it is started again.

Networks are small versions of the paper's, images 5,000 of 16 pixels, and each network
is trained for 1,200 steps of 64, but for the study that overfits.
"""

import dataclasses
import itertools

import numpy as np

from study.runs import Law, Protocol, Run, Search

PAIRS = (
    ("vgg11_quarter", "cifar10:5000@16"),
    ("resnet8", "cifar10:5000@16"),
    ("vgg11_quarter", "fashion:5000@16"),
    ("resnet8", "fashion:5000@16"),
)
SLOW_PAIRS = (
    ("mobilenetv1_eighth", "cifar10:5000@16"),
    ("densenet22", "cifar10:5000@16"),
    ("mobilenetv2_quarter", "cifar10:5000@16"),
    ("mobilenetv1_eighth", "fashion:5000@16"),
)
# Three batches of a network of four times the cost are 1 % of the training. A floor of
# 0.4 is the paper's: after widening twofold, groups keep 0.8 of their own channels.
BALANCED = Search("balanced")
GRADIENT = Search(batches=3)
FLOOR = Search(batches=3, min_keep=0.4)
PRICED = Search(batches=3, per_cost=1)
PRICED_FLOOR = Search(batches=3, per_cost=1, min_keep=0.4)
FOUND = (FLOOR, PRICED_FLOOR, BALANCED)
SHORT = Protocol()
LONG = Protocol(steps=3600)


def runs(pairs, variants, seeds, budget=1.0, protocol=SHORT, round_to="auto"):
    """Every variant on every pair, seed by seed; searches have the run's own seed."""
    for seed, pair, (kind, search) in itertools.product(seeds, pairs, variants):
        own = "auto" if kind == "original" else round_to
        yield Run(*pair, kind, seed, budget, seed, search, protocol, own)


def lwdna(searches):
    return [("lwdna", search) for search in searches]


def choose():
    """Larger networks, one seed: which searches are worth more seeds."""
    searches = (BALANCED, PRICED, GRADIENT, FLOOR, PRICED_FLOOR)
    searches += (Search("balanced", min_keep=0.4),)
    variants = [("original", None), *lwdna(searches), ("random", None)]
    yield from runs(PAIRS, variants, [100])


def confirm():
    """Seeds that nothing was chosen by."""
    variants = [("original", None), *lwdna(FOUND), ("random", None)]
    yield from runs(PAIRS, variants, range(101, 106))


def half():
    """Half of the MACs and parameters, against uniform narrowing."""
    # The floor goes with the budget: 0.4 times the root of a half.
    searches = [dataclasses.replace(s, min_keep=0.28) for s in (PRICED, GRADIENT)]
    variants = [("uniform", None), *lwdna([BALANCED, *searches]), ("random", None)]
    yield from runs(PAIRS, variants, range(101, 106), 0.5)


def slow():
    """As `confirm`, networks with depthwise layers or concatenations."""
    variants = [("original", None), *lwdna([BALANCED]), ("random", None)]
    yield from runs(SLOW_PAIRS, variants, range(101, 104))
    yield from runs(SLOW_PAIRS, lwdna([FLOOR]), range(101, 104))


def slow_half():
    """As `half`, the two of those that gain most."""
    variants = [("uniform", None), *lwdna([BALANCED])]
    yield from runs(SLOW_PAIRS[1:3], variants, range(101, 104), 0.5)


def controls():
    """Five seeds more, on which gradients' counts are those that seed 101 found; and
    found counts given to other layers."""
    variants = [("original", None), *lwdna([BALANCED]), ("random", None)]
    yield from runs(PAIRS, variants, range(101, 111))
    yield from runs(PAIRS, lwdna([FLOOR]), range(101, 106))
    for pair, seed in itertools.product(PAIRS, range(106, 111)):
        yield Run(*pair, "lwdna", seed, 1.0, 101, FLOOR)
    shuffled = [("shuffled", search) for search in (BALANCED, FLOOR)]
    yield from runs(PAIRS, shuffled, range(101, 106))


def rounding():
    """What counts in multiples cost: each search with round_to of 1 and auto."""
    variants = [*lwdna([BALANCED, FLOOR]), ("random", None)]
    narrow = [*lwdna([BALANCED, Search(batches=3, min_keep=0.28)]), ("random", None)]
    yield from runs(PAIRS, [("original", None)], range(101, 106))
    yield from runs(PAIRS, [("uniform", None)], range(101, 106), 0.5)
    for round_to in ("auto", 1):
        yield from runs(PAIRS, variants, range(101, 106), round_to=round_to)
        yield from runs(PAIRS, narrow, range(101, 106), 0.5, round_to=round_to)


# Pairs A of the law, small; those that confirm it are others, see `confirm_law`.
LAW_PAIRS = (
    ("vgg11_eighth", "cifar10:5000@16"),
    ("resnet8_half", "cifar10:5000@16"),
    ("vgg11_eighth", "fashion:5000@16"),
    ("mobilenetv2_quarter", "cifar10:5000@16"),
)
LAW_SEEDS, LAWS = range(200, 204), 64


def law():
    """Random laws and noise around them, of which accuracy is fitted."""
    for k in range(LAWS):
        for pair in LAW_PAIRS:
            if k < len(LAW_SEEDS):
                seed = LAW_SEEDS[k]
                yield Run(*pair, "original", seed, 1.0, seed)
                yield Run(*pair, "lwdna", seed, 1.0, seed, BALANCED, SHORT, 1)
            rng = np.random.default_rng([7, k])
            drawn = rng.uniform((-0.25, -0.6, -1.2), (1.0, 0.6, 1.2)).round(2)
            own = Law(*map(float, drawn), noise=0.25)
            seed = LAW_SEEDS[k % len(LAW_SEEDS)]
            yield Run(*pair, "law", seed, 1.0, k, None, SHORT, 1, own)


# The two drawn laws that gained most, rounded and without their noise; the best law the
# fit knew of that it told to be no slower than the original, before and after the
# multiply-accumulates that are used were a term of the times, too.
LAWS_TOLD = (
    Law(1.0, -0.15, -0.6),
    Law(0.65, -0.05, -0.45),
    Law(0.75, -0.2, -0.9),
    Law(1.0, -0.3, -0.6),
)


def choose_law():
    """What the fit says, on the pairs it learnt from: which law goes to pairs B."""
    yield from runs(LAW_PAIRS, [("original", None)], LAW_SEEDS)
    yield from runs(LAW_PAIRS, lwdna([BALANCED]), LAW_SEEDS, round_to=1)
    for seed, own, pair in itertools.product(LAW_SEEDS, LAWS_TOLD, LAW_PAIRS):
        yield Run(*pair, "law", seed, 1.0, seed, None, SHORT, 1, own)


def gradient():
    """The paper's search at its best: its floors, 2 to 32 batches, squares of slopes,
    after 1 % of the training. Seeds 200 and 201 choose, 202 and 203 tell."""
    twelve = {"warmup": 12, "min_keep": 0.4}  # steps of 1,200
    searches = (
        Search(batches=2, min_keep=0.4),
        FLOOR,
        Search(batches=32, min_keep=0.4),
        Search("fisher", batches=32, min_keep=0.4),
        Search(batches=32, **twelve),
        Search("fisher", batches=32, **twelve),
    )
    variants = [("original", None), ("lwdna", BALANCED), *lwdna(searches)]
    yield from runs(LAW_PAIRS, variants, LAW_SEEDS, round_to=1)


# Both were set before pairs B ran: the faster of the two laws of study `choose_law`
# that gain most, and the search of study `gradient` with the best mean over its first
# two seeds.
LAW = LAWS_TOLD[0]
GRADIENT_AT_BEST = Search(batches=32, warmup=12, min_keep=0.4)

# Pairs B: they took no part in the law, nor in any other choice of the package's.
PAIRS_B = (
    ("resnet20", "cifar10:10000@32", SHORT),
    ("mobilenetv2_quarter", "cifar10:10000@32", SHORT),
    ("vgg11_quarter", "tiny:4000@32", SHORT),
    ("mobilenetv1_quarter", "fashion:5000@28", SHORT),
    ("densenet22", "fashion:5000@16", SHORT),
    ("resnet20_half", "tiny:4000@32", SHORT),
    ("resnet8", "cifar10:2500@16", LONG),
    ("mobilenetv3_half", "fashion:5000@28", SHORT),
)


def confirm_law():
    """Eight pairs that took no part: the law, balanced, random, original; on three of
    the five seeds the gradient at its best, too."""
    for seed, (network, data, protocol) in itertools.product(range(300, 305), PAIRS_B):
        pair = network, data
        yield Run(*pair, "original", seed, 1.0, seed, None, protocol)
        yield Run(*pair, "law", seed, 1.0, seed, None, protocol, "auto", LAW)
        yield Run(*pair, "lwdna", seed, 1.0, seed, BALANCED, protocol)
        yield Run(*pair, "random", seed, 1.0, seed, None, protocol)
        if seed < 303:
            yield Run(*pair, "lwdna", seed, 1.0, seed, GRADIENT_AT_BEST, protocol)


def overfit():
    """Half the images, three times the steps: 92 passes over 2,500 images."""
    pairs = [(network, data.replace("5000", "2500")) for network, data in PAIRS[:2]]
    variants = [("original", None), *lwdna([BALANCED, FLOOR]), ("random", None)]
    yield from runs(pairs, variants, range(101, 106), protocol=LONG)


_ALL = choose, confirm, half, slow, slow_half, controls, rounding, law
_ALL += (choose_law, gradient, confirm_law, overfit)
STUDIES = {study.__name__: study for study in _ALL}


def results_of(name, rows):
    """A study's results that there are, with their `Run` as `run`; rows are by key."""
    made = (run for run in STUDIES[name]() if run.key in rows)
    return [{**rows[run.key], "run": run} for run in made]
