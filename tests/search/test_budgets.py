"""Budgets are met and used, over models, limits, criteria, rounding and floors."""

import itertools

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras import models
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


@pytest.mark.parametrize("widths", [(12, 20), (16, 28), (8, 12)])
@pytest.mark.parametrize("depthwise", [False, True])
def test_small_networks_use_what_any_counts_could(widths, depthwise):
    """Against all counts above the floors, tried one by one."""
    x = inputs = keras.Input((10, 10, 3))
    for width in widths:
        x = keras.layers.Conv2D(width, 3, padding="same")(x)
        if depthwise:
            x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    channels = hh.trace(keras.Model(inputs, keras.layers.Dense(5)(x)))
    costs = cost_model(channels)
    free = [k for k, group in enumerate(channels.groups) if group.frozen is None]
    sizes = np.array([len(group) for group in channels.groups])
    every = []
    for counts in itertools.product(*(range(1, sizes[k] + 1) for k in free)):
        kept = sizes.copy()
        kept[free] = counts
        every.append(costs(kept)[0])
    every = np.array(every)
    rng = np.random.default_rng(0)
    for share in (0.5, 0.7, 0.8):
        limit = share * costs(sizes)[0]
        most = every[every <= limit].max() / limit
        for _ in range(3):
            budget = hh.Budget(macs=limit)
            plan = hh.select_channels(channels, rng.random(channels.size), budget)
            assert plan.notes["macs"] / limit >= min(0.98, most) - 0.005


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
