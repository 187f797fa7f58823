"""Budgets are met and used, over models, limits, criteria, rounding and floors."""

import itertools

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras import models
from hh_keras.errors import BudgetError
from hh_keras.graph.cost_model import cost_model
from tests.zoo import ZOO

SHARES = (0.35, 0.6, 0.9)
LIMITS = ("macs", "params", "both")
CRITERIA = ("weight_norm", "uniform", "random")
ROUND_TO = ("auto", 1, 4, 8)
FLOORS = (0.0, 0.1, 0.4)
BIG = {
    "resnet20, 2x": lambda: hh.widen(models.build("resnet20", (28, 28, 1), 10), 2.0),
    "mobilenetv2_small": lambda: models.build("mobilenetv2_small", (32, 32, 3), 10),
    "densenet40": lambda: models.build("densenet40", (32, 32, 3), 10),
    "EfficientNetB0": lambda: keras.applications.EfficientNetB0(
        weights=None, input_shape=(64, 64, 3)
    ),
}
SMALL = ["residual", "dense_concat", "grouped_wide", "squeeze_excite", "depthwise"]


def grid(share):
    """All settings; or one in `share`, in which any two of them still meet."""
    every = SHARES, LIMITS, CRITERIA, ROUND_TO, FLOORS
    for places in itertools.product(*(range(len(each)) for each in every)):
        if sum(places) % share == 0:
            yield [each[k] for each, k in zip(every, places)]


def limits(full, share, kind):
    macs = share * full.macs if kind != "params" else None
    params = share * full.params if kind != "macs" else None
    return hh.Budget(macs=macs, params=params)


def used(plan, budget):
    """The share of the binding limit; fails if any is exceeded."""
    shares = [
        plan.notes[name] / limit
        for name, limit in (("macs", budget.macs), ("params", budget.params))
        if limit is not None
    ]
    assert max(shares) <= 1
    return max(shares)


def counts(channels, plan):
    return np.array([plan.keep[list(g.ids)].sum() for g in channels.groups])


def is_full(channels, plan, budget):
    """Whether no group can take back another 8 of its channels, or all it lost."""
    costs, kept = cost_model(channels), counts(channels, plan)
    for g, group in enumerate(channels.groups):
        more = kept.copy()
        more[g] = min(len(group), more[g] + 8)
        over = any(v > m for v, m in zip(costs(more), budget.limits))
        if more[g] > kept[g] and not over:
            return False
    return True


def check(model, strict):
    channels, full = hh.trace(model), hh.cost(model)
    scores = {c: hh.score_channels(model, criterion=c) for c in CRITERIA}
    met = 0
    for share, kind, criterion, round_to, floor in grid(3 if strict else 1):
        budget = limits(full, share, kind)
        where = f"{share} {kind} {criterion} {round_to} {floor}"
        try:
            plan = hh.select_channels(
                channels, scores[criterion], budget, floor, round_to
            )
        except hh.BudgetError:
            # Large networks reach every share of the grid, unless floors forbid it.
            assert not strict or floor > 0 or round_to > 1, where
            continue
        met += 1
        kept = counts(channels, plan)
        assert (kept >= 1).all(), where
        for group, n in zip(channels.groups, kept, strict=True):
            free = group.frozen is None
            assert n == len(group) or (free and n >= floor * len(group)), where
        share_used = used(plan, budget)
        if strict and round_to == 1:
            assert share_used >= 0.99, f"{where}: {share_used:.4f}"
        elif share_used < 0.99:
            assert is_full(channels, plan, budget), f"{where}: {share_used:.4f}"
    return met


@pytest.mark.parametrize("name", SMALL)
def test_small_models(name):
    assert check(ZOO[name](), strict=False) > 40


@pytest.mark.parametrize("name", BIG)
def test_networks(name):
    assert check(BIG[name](), strict=True) > 50


def test_rounded_counts_are_multiples():
    model = BIG["resnet20, 2x"]()
    channels, full = hh.trace(model), hh.cost(model)
    scores = hh.score_channels(model, criterion="weight_norm")
    for round_to in (4, 8):
        plan = hh.select_channels(
            channels, scores, hh.Budget(macs=0.4 * full.macs), 0.1, round_to
        )
        small = hh.rebuild(model, plan)
        for layer in small.layers:
            if isinstance(layer, keras.layers.Conv2D):
                assert layer.filters % round_to == 0


def chained(widths, depthwise):
    x = inputs = keras.Input((10, 10, 3))
    for width in widths:
        x = keras.layers.Conv2D(width, 3, padding="same")(x)
        if depthwise:
            x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    return inputs, x


def joined():
    """Two branches that a third layer takes, and whose own input is told again."""
    inputs = keras.Input((10, 10, 3))
    both = [keras.layers.Conv2D(n, 3, padding="same")(inputs) for n in (15, 9)]
    x = keras.layers.Concatenate()(both)
    return inputs, keras.layers.Concatenate()([keras.layers.Conv2D(22, 3)(x)] * 2)


def in_groups():
    """One of few channels that cost as much as many of the last layer's."""
    inputs = keras.Input((10, 10, 3))
    x = keras.layers.Conv2D(24, 3)(inputs)
    x = keras.layers.Conv2D(36, 3, groups=3)(x)
    x = keras.layers.Conv2D(36, 3, groups=6)(x)
    return inputs, keras.layers.Conv2D(18, 1)(x)


SEARCHED = {
    **{
        f"{widths}{', depthwise' * depthwise}": (chained, widths, depthwise)
        for widths in ((12, 20), (16, 28), (8, 12))
        for depthwise in (False, True)
    },
    "joined": (joined,),
    "in groups": (in_groups,),
}


@pytest.mark.parametrize("round_to", ["auto", 1])
@pytest.mark.parametrize("name", SEARCHED)
def test_small_networks_use_what_any_counts_could(name, round_to):
    """Against all counts above the floors, tried one by one."""
    make, *settings = SEARCHED[name]
    inputs, x = make(*settings)
    x = keras.layers.GlobalAveragePooling2D()(x)
    channels = hh.trace(keras.Model(inputs, keras.layers.Dense(5)(x)))
    costs = cost_model(channels)
    sizes = np.array([len(group) for group in channels.groups])
    least = [
        n if group.frozen else max(1, -(-n // 10))
        for n, group in zip(sizes, channels.groups)
    ]
    ranges = [range(low, n + 1) for low, n in zip(least, sizes)]
    every = np.array([costs(np.array(kept)) for kept in itertools.product(*ranges)])
    whole = np.array(costs(sizes))
    rng = np.random.default_rng(0)
    for shares in ((0.5, None), (0.8, None), (None, 0.45), (0.5, 0.6), (0.3, 0.9)):
        limits = np.array([share or np.inf for share in shares]) * whole
        uses = (every / limits).max(1)
        most = uses[uses <= 1].max(initial=0)
        for _ in range(3):
            budget = hh.Budget(*(n if n < np.inf else None for n in limits))
            scores = rng.random(channels.size)
            if not most:
                with pytest.raises(BudgetError, match="no plan fits"):
                    hh.select_channels(channels, scores, budget, round_to=round_to)
                continue
            plan = hh.select_channels(channels, scores, budget, round_to=round_to)
            kept = counts(channels, plan)
            assert (kept <= sizes).all()
            assert used(plan, budget) == max(np.array(costs(kept)) / limits)
            assert used(plan, budget) >= min(0.98, most) - 0.005


def test_what_no_floor_could_cure_is_laid_to_what_is_frozen():
    inputs = keras.Input((6, 5))
    x = keras.layers.LSTM(12, name="memory")(inputs)
    x = keras.layers.Dense(16, name="wide")(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    channels, scores = hh.trace(model), hh.score_channels(model, criterion="random")
    whole = hh.cost(model).params
    with pytest.raises(BudgetError, match="cannot leave, most of all group 'memory'"):
        hh.select_channels(channels, scores, hh.Budget(params=0.5 * whole))
    least = hh.Budget(params=whole - 14 * 15 - 1)  # one of 16 would fit
    with pytest.raises(BudgetError, match="2 of 16 channels in group 'wide'"):
        hh.select_channels(channels, scores, least, min_keep=0.1, round_to=1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"round_to": float("inf")}, "round_to=inf"),
        ({"round_to": True}, "round_to=True"),
        ({"min_keep": "0.1"}, "from 0 to 1, got '0.1'"),
        ({"min_keep": None}, "from 0 to 1, got None"),
    ],
)
def test_settings_of_another_kind_are_refused(wrong, said):
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(4, 3)])
    channels = hh.trace(model)
    scores = np.zeros(channels.size)
    with pytest.raises(hh.HHError, match=said):
        hh.select_channels(channels, scores, hh.Budget(params=50), **wrong)
    with pytest.raises(hh.HHError, match="a share is one times"):
        hh.Budget(macs="0.5x")
