"""Counts that hardware likes, and budgets used up in spite of them."""

import keras
import numpy as np
import pytest
from keras import layers

import hh_keras as hh
from hh_keras import models
from hh_keras.search import filling, rounding


def chain(*widths):
    image = x = keras.Input((8, 8, 3))
    for k, width in enumerate(widths):
        x = layers.Conv2D(width, 3, padding="same", name=f"conv{k}")(x)
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def counts(plan):
    return [len(kept) for kept in plan.kept.values()]


def select(model, share, round_to="auto", criterion="random", **settings):
    channels, full = hh.trace(model), hh.cost(model)
    scores = hh.score_channels(model, criterion=criterion)
    budget = hh.Budget(macs=share * full.macs)
    plan = hh.select_channels(channels, scores, budget, round_to=round_to, **settings)
    assert plan.notes["macs"] <= budget.macs
    return channels, plan, plan.notes["macs"] / budget.macs


def test_wide_layers_come_in_eights_and_narrow_ones_in_fours():
    model = chain(16, 12, 40, 20, 64, 8, 48)
    channels, plan, _ = select(model, 0.55)
    for group in channels.groups:
        kept = len(plan.kept[group.name])
        step = 8 if len(group) >= 16 else 4
        assert group.frozen or kept % step == 0 or kept == len(group)


def test_sixteen_channels_are_wide():
    channels = hh.trace(chain(15, 16))
    steps = dict(zip(map(len, channels.groups), rounding.steps(channels, "auto")))
    assert (steps[15], steps[16]) == (4, 8)


def test_steps_are_those_of_layers_not_of_groups():
    """A channel of the first layer is four of the depthwise one."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(12, 3, name="narrow")(image)
    x = layers.DepthwiseConv2D(3, depth_multiplier=4, name="deep")(x)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))
    channels = hh.trace(model)
    group = next(g for g in channels.groups if "narrow" in g.producers)
    assert dict(zip(channels.groups, rounding.steps(channels, 8)))[group] in (2, 8)


@pytest.mark.parametrize(
    "step, other, size, wanted",
    [
        (1, 8, 16, 8),  # the group has two of the device's steps
        (1, 8, 15, 4),  # three of 4, and not two of 8
        (1, 32, 20, 8),
        (3, 8, 10, 3),  # no multiple of both is in it twice
        (12, 32, 16, 12),
        (5, 32, 64, 20),
        (1, 8, 1, 1),
        (1, 0, 64, 1),
    ],
)
def test_a_device_s_step_is_halved_until_a_group_has_two(step, other, size, wanted):
    assert rounding.common(step, other, size) == wanted


@pytest.mark.parametrize("share", [0.3, 0.5, 0.77, 0.93])
@pytest.mark.parametrize("criterion", ["random", "balanced", "weight_norm"])
def test_the_budget_is_used_though_channels_come_in_blocks(share, criterion):
    model = models.build(
        "resnet8", (16, 16, 3), 10, model_args={"widths": (16, 24, 40)}
    )
    _, _, used = select(hh.widen(model, 2.0), share, criterion=criterion)
    assert used >= 0.98


def test_finer_steps_where_no_plan_fits_otherwise():
    """At least 8 of 16 channels everywhere would be a quarter of the cost."""
    model = chain(16, 16, 16, 16)
    assert min(counts(select(model, 0.1)[1])) < 8
    with pytest.raises(hh.BudgetError, match="round_to"):
        select(model, 0.1, round_to=8)


def test_few_groups_take_up_what_is_left():
    """Two layers cannot use 0.9 of the cost in eights: one of them is no multiple."""
    channels, plan, used = select(chain(32, 32), 0.83, criterion="uniform")
    odd = [n for n, g in zip(counts(plan), channels.groups) if n % 8 and not g.frozen]
    assert used >= 0.98 and len(odd) <= 1


def test_given_multiples_are_kept_whatever_is_left():
    channels, plan, used = select(chain(32, 32), 0.83, 16, "uniform")
    assert all(n % 16 == 0 or g.frozen for n, g in zip(counts(plan), channels.groups))


@pytest.mark.parametrize("wrong", [0, -8, 2.5, "8", "soon", None])
def test_what_is_no_step_is_told(wrong):
    with pytest.raises(hh.HHError, match="round_to=.*'auto'"):
        select(chain(8), 0.5, round_to=wrong)


def test_exchanges_stay_within_all_limits():
    rng, better = np.random.default_rng(0), 0
    for _ in range(20):
        prices = rng.uniform(1, 9, (2, 6))

        def costs(kept, prices=prices):
            return tuple(prices @ kept)

        floors = np.ones(6, int)
        ranked = [np.sort(rng.uniform(0, 1, 40))[::-1] for _ in floors]
        limits = tuple(0.6 * prices.sum(1) * 40)
        blocks = filling.blocks(ranked, floors, [16] * 6)
        filled = filling.fill(costs, blocks, floors, limits)
        used = filling.exchange(costs, blocks, floors, limits, filled)
        before, after = (filling.use(costs(n), limits) for n in (filled, used))
        assert before <= after <= 1
        assert set(used) <= {1, 17, 33, 40}
        better += after > before
    assert better > 5
