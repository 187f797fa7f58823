"""Selection by price, and scores that make a wanted profile."""

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras import models
from hh_keras.graph.cost_model import cost_model
from hh_keras.search.profiles import cost_shares, profile_scores


@pytest.fixture(scope="module")
def wide():
    model = models.build(
        "resnet20", (16, 16, 3), 10, model_args={"widths": (8, 16, 32)}
    )
    return hh.widen(model, 4.0)


def selected(model, scores, macs=0.1, params=0.2, **settings):
    """Kept counts of the groups that may shrink, and their sizes."""
    channels, full = hh.trace(model), hh.cost(model)
    budget = hh.Budget(macs=macs * full.macs, params=params and params * full.params)
    plan = hh.select_channels(channels, scores, budget, **{"round_to": 1} | settings)
    free = [i for i, g in enumerate(channels.groups) if g.frozen is None]
    kept = np.array([len(k) for k in plan.kept.values()])
    sizes = np.array([len(g) for g in channels.groups])
    return kept[free], sizes[free]


def test_counts_follow_a_profile(wide):
    channels = hh.trace(wide)
    profile = np.random.default_rng(0).uniform(5, 20, len(channels.groups))
    kept, sizes = selected(wide, profile_scores(channels, profile), min_keep=0)
    free = [i for i, g in enumerate(channels.groups) if g.frozen is None]
    wanted = profile[free] * np.median(kept / profile[free])
    inside = kept < sizes
    assert inside.sum() > 5
    assert np.abs(kept - wanted)[inside].max() <= 1.5


def test_uniform_scores_keep_the_same_share(wide):
    scores = hh.score_channels(wide, criterion="uniform")
    kept, sizes = selected(wide, scores)
    assert np.abs(kept - kept.sum() / sizes.sum() * sizes).max() <= 2


def test_balanced_layers_take_more_equal_shares_of_the_cost():
    model = models.build("vgg11_small", (16, 16, 3), 10)
    channels, costs = hh.trace(model), cost_model(hh.trace(model))
    free = [i for i, g in enumerate(channels.groups) if g.frozen is None]

    def unequal(criterion):
        """Spread of the groups' shares of MACs and parameters, on a log scale."""
        scores = hh.score_channels(model, criterion=criterion)
        kept, _ = selected(model, scores, macs=0.05, params=None, min_keep=0)
        every = np.array([float(len(g)) for g in channels.groups])
        every[free] = kept
        macs, params = costs.marginals(every)
        totals = costs(every)
        shares = every * (macs / totals[0] + params / totals[1])
        return np.log(shares[free]).std()

    assert unequal("balanced") < 0.6 * unequal("uniform")


def test_shares_of_the_cost_are_counted_per_layer():
    """Of 12 + 12 + 8 weights, each met at 64 positions, two layers make one group."""
    image = keras.Input((8, 8, 3))
    made = [keras.layers.Conv2D(4, 1, use_bias=False)(image) for _ in "ab"]
    x = keras.layers.Add()(made)
    head = keras.layers.Conv2D(2, 1, use_bias=False, name="head")
    channels = hh.trace(keras.Model(image, head(x)))
    found = dict(zip((len(g) for g in channels.groups), cost_shares(channels)))
    both = 2 / 32  # of MACs and of parameters
    assert found == {3: 24 * both, 4: 32 / 2 * both, 2: 8 * both}


def test_channels_that_cost_more_have_to_score_more(wide):
    """Where a channel's score equals its price, all are worth the same."""
    channels, full = hh.trace(wide), hh.cost(wide)
    macs = cost_model(channels).marginal()
    rng = np.random.default_rng(1)
    value = rng.uniform(1, 2, channels.size)
    sizes = [len(g) for g in channels.groups]
    budget = hh.Budget(macs=0.5 * full.macs)
    scores = value * np.repeat(macs, sizes)
    plan = hh.select_channels(channels, scores, budget, 0, round_to=1, per_cost=1.0)
    kept, free = plan.keep, channels.removable
    # Prices are those at half of the cost, so they are proportional only nearly.
    assert value[kept & free].mean() > value[~kept].mean() + 0.4


def test_prices_use_both_limits_up(wide):
    """Ranked by score alone, these scores leave parameters unused."""
    channels, full = hh.trace(wide), hh.cost(wide)
    uniform = hh.select_channels(
        channels, hh.score_channels(wide, criterion="uniform"), hh.Budget(full.macs / 9)
    )
    budget = hh.Budget(uniform.notes["macs"], uniform.notes["params"])
    early = np.repeat(
        [1.5 if "stage3" not in g.name else 1.0 for g in channels.groups],
        [len(g) for g in channels.groups],
    )
    scores = early * np.random.default_rng(0).uniform(0.5, 1, channels.size)
    ranked = hh.select_channels(channels, scores, budget, 0.05, 1)
    priced = hh.select_channels(channels, scores, budget, 0.05, 1, 1.0)
    assert ranked.notes["params"] < 0.8 * budget.params
    assert priced.notes["params"] > 0.96 * budget.params
    assert priced.notes["macs"] > 0.96 * budget.macs


@pytest.mark.parametrize("per_cost", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("limits", [(0.3, None), (0.3, 0.15), (0.1, 0.9)])
def test_budgets_are_met_at_any_price(wide, per_cost, limits):
    channels, full = hh.trace(wide), hh.cost(wide)
    macs, params = limits
    budget = hh.Budget(macs * full.macs, params and params * full.params)
    for criterion in ("weight_norm", "balanced", "random"):
        scores = hh.score_channels(wide, criterion=criterion)
        plan = hh.select_channels(channels, scores, budget, per_cost=per_cost)
        used = plan.notes["macs"] / budget.macs
        if params:
            used = max(used, plan.notes["params"] / budget.params)
        assert 0.98 < used <= 1
        again = hh.select_channels(channels, scores, budget, per_cost=per_cost)
        assert plan == again


def test_an_impossible_price_is_told(wide):
    channels = hh.trace(wide)
    scores = hh.score_channels(wide, criterion="uniform")
    with pytest.raises(hh.HHError, match="per_cost"):
        hh.select_channels(channels, scores, hh.Budget(macs=1e6), per_cost=-1)
