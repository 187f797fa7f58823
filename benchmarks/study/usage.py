"""How much of the multiply-accumulates laws use, which is known before any training."""

import numpy as np

import hh_keras
from study import data, networks, variants
from study.runs import Law, Protocol


def used(pairs, laws, folders):
    """The logarithm of the share that each law uses, its mean over pairs, `(laws,)`.

    Args:
        pairs: `(network, data)` each, see `Run`.
        laws: float `(laws, 3)`.
        folders: see `data.load`.
    """
    return np.mean([_of_pair(*pair, laws, folders) for pair in pairs], 0)


def _of_pair(network, text, laws, folders):
    _, shape, classes = data.load(text, folders, Protocol(), 0)
    original = networks.build(network, shape, classes)
    cost = hh_keras.cost(original)
    budget = hh_keras.Budget(cost.macs, cost.params)
    space = variants.space_of(original, 2.0, budget, 0, 1)
    plans = [
        space.plan(variants.law_profile(space.channels, Law(*map(float, law))))
        for law in laws
    ]
    return np.log([plan.notes["macs"] / cost.macs for plan in plans])
