"""The networks that a run compares: the original, controls, LW-DNA."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

import hh_keras
from hh_keras.search.profiles import profile_scores
from hh_keras.search.rebuild import widen
from hh_keras.training import Recipe, train

_SPREAD = 0.5  # of random counts: standard deviation of the logarithm


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """A network to train, and what finding it took.

    Attributes:
        model: with fresh weights.
        kept: group name → channels.
        search_steps: the search's cost in training steps of the original.
    """

    model: keras.Model
    kept: dict
    search_steps: int


def find(run, original, images_of):
    """Makes the network of a run.

    Args:
        run: a `Run`.
        original: the original network.
        images_of: function of a seed that returns `Images`.

    Returns:
        A `Found`.
    """
    before = hh_keras.cost(original)
    budget = hh_keras.Budget(run.budget * before.macs, run.budget * before.params)
    if run.kind == "original":
        model = widen(original, 1.0, "fresh", run.seed)
        return Found(model, counts(hh_keras.trace(model)), 0)
    search = run.search
    wide = widen(original, search.width if search else 2.0, "fresh", run.plan_seed)
    channels = hh_keras.trace(wide)
    sizes = np.array([len(g) for g in channels.groups], float)
    rng = np.random.default_rng(run.plan_seed)

    def of_profile(profile, min_keep=0.05):
        scores = profile_scores(channels, profile)
        return hh_keras.select_channels(channels, scores, budget, min_keep)

    steps = 0
    if run.kind == "uniform":
        plan = of_profile(sizes)
    elif run.kind == "random":
        plan = random_plan(rng, sizes, budget, of_profile)
    else:
        plan, steps = searched(run, wide, channels, budget, images_of)
        steps = math.ceil(steps * hh_keras.cost(wide).macs / before.macs)
        shares = np.array([len(k) for k in plan.kept.values()]) / sizes
        if search.blend != 1:
            uniform = np.array([len(k) for k in of_profile(sizes).kept.values()])
            profile = uniform * (shares * sizes / uniform) ** search.blend
            plan = of_profile(profile)
        if run.kind == "shuffled":
            free = [i for i, g in enumerate(channels.groups) if g.frozen is None]
            shares[free] = shares[rng.permutation(free)]
            plan = of_profile(sizes * shares)
    model = hh_keras.rebuild(wide, plan, "fresh", run.seed)
    return Found(model, {name: len(k) for name, k in plan.kept.items()}, steps)


def random_plan(rng, sizes, budget, of_profile):
    """Random counts that use the MACs up; others would be a weak control."""
    while True:
        plan = of_profile(sizes * np.exp(rng.normal(0, _SPREAD, len(sizes))))
        if plan.notes["macs"] >= 0.99 * budget.macs:
            return plan


def counts(channels):
    """Group name → channels of a traced model."""
    return {group.name: len(group) for group in channels.groups}


def searched(run, wide, channels, budget, images_of):
    """Returns the plan of a search, and how many steps of the wide network it took."""
    search = run.search
    images = images_of(run.plan_seed)
    needs_data = search.criterion in hh_keras.search.scores.NEED_DATA
    if search.warmup:
        warm_up(wide, images, run.protocol, search.warmup)
    scores = hh_keras.score_channels(
        wide,
        images.search(search.batches),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        search.criterion,
        search.batches,
        run.plan_seed,
    )
    plan = hh_keras.select_channels(
        channels, scores, budget, search.min_keep, per_cost=search.per_cost
    )
    return plan, search.warmup + needs_data * search.batches


def warm_up(wide, images, protocol, steps):
    """Trains the wide network for a few steps, in place."""
    recipe = recipe_of(protocol, schedule="constant")
    train(wide, Few(images.train.take(steps)), recipe)


@dataclasses.dataclass(frozen=True, eq=False)
class Few:
    """Batches to train on, none to validate."""

    train: tf.data.Dataset
    validation: None = None


def recipe_of(protocol, **changes):
    """The protocol as a `Recipe` of one epoch."""
    values = {
        "epochs": 1,
        "batch_size": protocol.batch_size,
        "learning_rate": protocol.learning_rate,
        "warmup_epochs": protocol.warmup,
        "weight_decay": protocol.weight_decay,
        "augment": protocol.augment,
    }
    return Recipe(**{**values, **changes})
