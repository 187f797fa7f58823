"""The networks that a run compares: the original, controls, LW-DNA."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

import hh_keras
from hh_keras.search.profiles import cost_shares, profile_scores
from hh_keras.search.scores import NEED_DATA
from hh_keras.surgery.rebuild import widen
from hh_keras.tasks.classification.task import TASK
from hh_keras.training import Recipe, train

_SPREAD = 0.5  # of random counts: standard deviation of the logarithm
_DRAWS = 100


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


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """The widened network that plans are made for, and the budget.

    Attributes:
        wide: the network.
        channels: its `ChannelMap`.
        sizes: channels of its groups, float `(groups,)`.
        budget: a `Budget`.
        round_to: see `hh_keras.select_channels`.
    """

    wide: keras.Model
    channels: hh_keras.ChannelMap
    sizes: np.ndarray
    budget: hh_keras.Budget
    round_to: int | str = "auto"

    def plan(self, profile, min_keep=0.05):
        """The plan whose counts stand to each other as a profile says."""
        return self.select(profile_scores(self.channels, profile), min_keep)

    def select(self, scores, min_keep, per_cost=0.0):
        """The plan that scores give."""
        return hh_keras.select_channels(
            self.channels, scores, self.budget, min_keep, self.round_to, per_cost
        )

    def kept(self, plan):
        """Counts of a plan, float `(groups,)`."""
        return np.array([len(kept) for kept in plan.kept.values()], float)


def find(run, original, images_of):
    """Makes the network of a run.

    Args:
        run: a `Run`.
        original: the original network.
        images_of: function of a seed that returns `Images`.

    Returns:
        A `Found`.
    """
    if run.kind == "original":
        model = widen(original, 1.0, "fresh", run.seed)
        kept = {group.name: len(group) for group in hh_keras.trace(model).groups}
        return Found(model, kept, 0)
    before = hh_keras.cost(original)
    budget = hh_keras.Budget(run.budget * before.macs, run.budget * before.params)
    width = run.search.width if run.search else 2.0
    space = space_of(original, width, budget, run.plan_seed, run.round_to)
    plan, steps = _KINDS[run.kind](run, space, images_of)
    steps = math.ceil(steps * hh_keras.cost(space.wide).macs / before.macs)
    model = hh_keras.rebuild(space.wide, plan, "fresh", run.seed)
    return Found(model, {name: len(k) for name, k in plan.kept.items()}, steps)


def space_of(original, width, budget, seed, round_to="auto", input_shape=None):
    """Widens a network; `input_shape` is for one that takes images of any size."""
    wide = widen(original, width, "fresh", seed)
    channels = hh_keras.trace(wide, input_shape)
    sizes = np.array([len(group) for group in channels.groups], float)
    return Space(wide, channels, sizes, budget, round_to)


def uniform(run, space, images_of):
    """The same share of every group. Like all kinds: the plan, steps on `wide`."""
    return space.plan(space.sizes), 0


def random(run, space, images_of):
    """Counts drawn at random."""
    return random_plan(space, run.plan_seed), 0


def random_plan(space, seed):
    """The counts of `random`."""
    rng = np.random.default_rng(seed)

    def draw():
        return space.plan(
            space.sizes * np.exp(rng.normal(0, _SPREAD, len(space.sizes)))
        )

    return fullest(draw, space.budget)


def lwdna(run, space, images_of):
    """What a search finds."""
    plan, steps = searched(run, space, images_of)
    if run.search.blend != 1:
        even = space.kept(space.plan(space.sizes))
        plan = space.plan(even * (space.kept(plan) / even) ** run.search.blend)
    return plan, steps


def shuffled(run, space, images_of):
    """The shares of its groups that a search finds, given to other groups."""
    plan, steps = lwdna(run, space, images_of)
    shares = space.kept(plan) / space.sizes
    free = [i for i, g in enumerate(space.channels.groups) if g.frozen is None]
    rng = np.random.default_rng(run.plan_seed)

    def draw():
        changed = shares.copy()
        changed[free] = shares[rng.permutation(free)]
        return space.plan(space.sizes * changed)

    return fullest(draw, space.budget), steps


def law(run, space, images_of):
    """Counts by a law, times noise."""
    rng = np.random.default_rng(run.plan_seed)
    factors = np.exp(rng.normal(0, run.law.noise, len(space.sizes)))
    return space.plan(law_profile(space.channels, run.law) * factors), 0


def law_profile(channels, law):
    """The profile of a `Law`, float array `(groups,)`."""
    sizes = np.array([len(group) for group in channels.groups], float)
    shares = cost_shares(channels)
    order = {name: place for place, name in enumerate(channels.sites)}
    positions, depths = [], []
    for group in channels.groups:
        made = [name for name in group.producers if name in order]
        uses = [n for name in made for n in channels.sites[name].uses.values() if n]
        positions.append(np.mean(uses) if uses else 1.0)
        depths.append(order[made[0]] / (len(order) - 1) if made else 0.0)
    positions = np.array(positions) / max(positions)
    return (
        sizes
        * np.where(shares > 0, shares, 1.0) ** -law.alpha
        * positions**law.beta
        * np.exp(law.gamma * np.array(depths))
    )


_KINDS = {each.__name__: each for each in (uniform, random, lwdna, shuffled, law)}


def fullest(draw, budget):
    """The first of drawn plans that uses the MACs up, or else the one that uses most.

    Controls that spend less than they may would be weak ones.
    """
    best = None
    for _ in range(_DRAWS):
        plan = draw()
        if best is None or plan.notes["macs"] > best.notes["macs"]:
            best = plan
        if best.notes["macs"] >= 0.99 * budget.macs:
            break
    return best


def searched(run, space, images_of):
    """The search itself."""
    search, wide = run.search, space.wide
    images = images_of(run.plan_seed)
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
    plan = space.select(scores, search.min_keep, search.per_cost)
    read = search.batches if search.criterion in NEED_DATA else 0
    return plan, search.warmup + read


def warm_up(wide, images, protocol, steps):
    """Trains the wide network for a few steps, in place."""
    recipe = recipe_of(protocol, schedule="constant")
    train(wide, Few(images.train.take(steps)), recipe, task=TASK)


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
