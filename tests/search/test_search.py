"""Scores, scales, selection and plans on small models, and what bad input gets."""

import json

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras.surgery.channel_scale import scale_layer
from hh_keras.training import strategy
from tests.zoo import ZOO, randomize

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def batches(n=3, size=6, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (
            rng.normal(size=(size, 8, 8, 3)).astype("float32"),
            rng.integers(0, classes, size),
        )
        for _ in range(n)
    ]


def model():
    keras.utils.set_random_seed(1)
    return randomize(ZOO["residual"]())


def test_gradient_scores_are_the_derivative_of_the_loss():
    """The score equals a finite difference of the loss in the channel's scale."""
    m, data = model(), batches(2)
    scores = hh.score_channels(m, data, LOSS, batches=2)
    scaled = hh.add_scales(m)
    gamma = scale_layer(scaled).gamma

    def total(value):
        gamma.assign(value)
        losses = [LOSS(y, scaled(x, training=False)) for x, y in data]
        return float(np.mean([np.asarray(v) for v in losses]))

    channels = hh.trace(m)
    for c in np.flatnonzero(channels.removable)[::5]:
        step = np.zeros(channels.size, "float32")
        step[c] = 1e-2
        slope = (total(1 + step) - total(1 - step)) / 2e-2
        assert abs(abs(slope) - scores[c]) < 2e-3 * max(1.0, scores.max())


def test_scores_add_up_over_batches_of_any_size():
    m = model()
    ((x, y),) = batches(1, size=12)
    whole = hh.score_channels(m, [(x, y)], LOSS)
    parts = hh.score_channels(m, [(x[:5], y[:5]), (x[5:], y[5:])], LOSS)
    np.testing.assert_allclose(whole, parts, rtol=1e-3, atol=1e-6)


def test_fisher_scores_are_means_of_squares():
    m = model()
    data = batches(2)
    one, other = (hh.score_channels(m, [b], LOSS) for b in data)
    both = hh.score_channels(m, data, LOSS, "fisher")
    wanted = np.sqrt((one**2 + other**2) / 2)
    np.testing.assert_allclose(both, wanted, rtol=1e-3, atol=1e-6)


def test_scoring_changes_nothing():
    m = model()
    before = [np.asarray(v).copy() for v in m.variables]
    hh.score_channels(m, batches(), LOSS)
    for a, v in zip(before, m.variables, strict=True):
        np.testing.assert_array_equal(a, np.asarray(v))


@pytest.mark.parametrize("criterion", [c for c in hh.CRITERIA if c != "magnitude"])
def test_the_same_seed_gives_the_same_plan(criterion):
    m = model()
    budget = hh.Budget(macs=hh.cost(m).macs * 0.6)
    plans = [
        hh.shrink(m, batches(), LOSS, budget, 1.5, criterion, seed=3).plan.to_json()
        for _ in range(2)
    ]
    assert plans[0] == plans[1]


@pytest.mark.parametrize(
    "weights, data, criterion, read",
    [
        ("fresh", batches(), "balanced", 0),
        ("fresh", None, "balanced", 0),
        ("inherit", None, "balanced", 0),
        ("inherit", batches(), "obs", 0),
    ],
)
def test_the_default_criterion_depends_on_the_weights(weights, data, criterion, read):
    m = model()
    budget = hh.Budget(macs=0.7 * hh.cost(m).macs)
    settings = {"width": 1, "batches": 3, "weights": weights}
    found = hh.shrink(m, data, LOSS, budget, **settings)
    assert found.plan.notes["criterion"] == criterion
    assert found.plan.notes["batches"] == read
    same = hh.shrink(m, data, LOSS, budget, criterion=criterion, **settings)
    kept, again = found.plan.kept, same.plan.kept
    assert all(np.array_equal(kept[name], again[name]) for name in again)


def test_shrink_meets_the_budget_from_a_wider_network():
    m = model()
    cost = hh.cost(m)
    budget = hh.Budget(macs=cost.macs * 0.9, params=cost.params)
    found = hh.shrink(m, batches(), LOSS, budget, width=2.0)
    assert found.cost_wide.macs > cost.macs
    assert 0.9 * budget.macs < found.cost_after.macs <= budget.macs
    assert found.cost_after.params <= budget.params
    assert found.model(batches()[0][0]).shape == (6, 5)


def test_fresh_weights_depend_on_the_seed_only():
    m = model()
    plan = hh.shrink(m, budget=hh.Budget(macs=5e4), criterion="uniform", width=1).plan
    a, b, c = (hh.rebuild(m, plan, "fresh", seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(u, v) for u, v in zip(a.get_weights(), b.get_weights()))
    assert any(
        not np.array_equal(u, v) for u, v in zip(a.get_weights(), c.get_weights())
    )


def test_min_keep_by_pattern_and_round_to():
    m = model()
    channels = hh.trace(m)
    name = next(g.name for g in channels.groups if len(g) == 8 and not g.frozen)
    scores = hh.score_channels(m, criterion="random")
    floor = {"*": 0.2, name: 0.75}
    plan = hh.select_channels(channels, scores, hh.Budget(macs=3e4), floor)
    assert len(plan.kept[name]) >= 6
    plan = hh.select_channels(channels, scores, hh.Budget(macs=4e4), 0.1, round_to=4)
    for group in channels.groups:
        kept = len(plan.kept[group.name])
        assert kept % 4 == 0 or kept == len(group)


@pytest.mark.parametrize("width, share, least", [(10, 0.25, 3), (30, 0.1, 3)])
def test_floors_are_rounded_up_but_not_by_noise(width, share, least):
    """0.1 of 30 is 3, although 0.1 * 30 is a little more in floating point."""
    image = keras.Input((4,))
    chain = keras.layers.Dense(2)(keras.layers.Dense(width)(image))
    channels = hh.trace(keras.Model(image, chain))
    scores = np.ones(channels.size)
    plan = hh.select_channels(
        channels, scores, hh.Budget(macs=6 * least), share, round_to=1
    )
    (kept,) = (plan.kept[name] for name, n in plan.sizes.items() if n == width)
    assert len(kept) == least
    with pytest.raises(hh.BudgetError):
        hh.select_channels(
            channels, scores, hh.Budget(macs=6 * least - 1), share, round_to=1
        )


def test_selection_keeps_the_best_of_every_group():
    m = model()
    channels = hh.trace(m)
    scores = hh.score_channels(m, criterion="random", seed=4)
    plan = hh.select_channels(channels, scores, hh.Budget(macs=4e4))
    for group in channels.groups:
        keep = plan.keep[group.ids.start : group.ids.stop]
        mine = scores[group.ids.start : group.ids.stop]
        if not keep.all():
            assert mine[keep].min() >= mine[~keep].max()


def test_magnitude_reads_trained_scales_and_rebuild_folds_them():
    m = model()
    scaled = hh.add_scales(m, regularizer=hh.ChannelSparsity(1e-3))
    scale_layer(scaled).gamma.assign(np.linspace(0, 1, hh.trace(m).size))
    scores = hh.score_channels(scaled, criterion="magnitude")
    plan = hh.select_channels(hh.trace(scaled), scores, hh.Budget(macs=5e4))
    small = hh.rebuild(scaled, plan)
    x = batches(1)[0][0]
    gamma = np.asarray(scale_layer(scaled).gamma)
    removable = hh.trace(scaled).removable
    scale_layer(scaled).gamma.assign(np.where(plan.keep | ~removable, gamma, 0))
    np.testing.assert_allclose(scaled(x), small(x), atol=1e-4)


@pytest.mark.parametrize("replicas", [1, 2])
def test_proximal_training_makes_exact_zeros(replicas):
    with strategy("mirrored", replicas).scope():
        base = model()
        channels = hh.trace(base)
        sparsity = hh.ChannelSparsity(1.0, hh.channel_costs(channels), proximal=True)
        scaled = hh.add_scales(base, channels, sparsity)
        scaled.compile(keras.optimizers.SGD(0.05), LOSS, jit_compile=False)
    hh.attach_proximal(scaled)
    x, y = batches(1, size=32)[0]
    scaled.fit(x, y, batch_size=8, epochs=8, verbose=0)
    gamma = np.asarray(scale_layer(scaled).gamma)
    assert (gamma[channels.removable] == 0).any()
    assert np.isfinite(gamma).all()


def test_plan_refuses_another_model():
    m = model()
    plan = hh.shrink(m, budget=hh.Budget(macs=5e4), criterion="uniform").plan
    with pytest.raises(hh.PlanError, match="another model.*widened"):
        hh.rebuild(m, plan)
    with pytest.raises(hh.PlanError, match="another model"):
        hh.rebuild(ZOO["chain"](), plan)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": "x"}',
        "null",
        '{"format": "hh_keras.plan", "version": 1}',
    ],
)
def test_corrupt_plans_are_refused(text, tmp_path):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(hh.PlanError, match="plan.json"):
        hh.Plan.load(tmp_path / "plan.json")


def test_plans_of_a_newer_version_are_refused():
    plan = hh.shrink(model(), budget=hh.Budget(macs=5e4), criterion="uniform").plan
    data = json.loads(plan.to_json())
    data["version"] = 99
    with pytest.raises(hh.PlanError, match="version 99"):
        hh.Plan.from_json(json.dumps(data))


def test_unreachable_budget_names_the_smallest_cost_and_the_floor():
    m = model()
    scores = hh.score_channels(m, criterion="uniform")
    with pytest.raises(hh.BudgetError, match="smallest reachable is .*floor"):
        hh.select_channels(hh.trace(m), scores, hh.Budget(macs=1e3), min_keep=0.5)
    with pytest.raises(hh.BudgetError, match="one channel or frozen"):
        hh.select_channels(hh.trace(m), scores, hh.Budget(macs=10), min_keep=0.0)


class Subclassed(keras.Model):
    def call(self, x):
        return x


def test_models_that_cannot_be_read_are_named():
    with pytest.raises(hh.ModelError, match="Subclassed.*call it once"):
        hh.trace(Subclassed(name="mine"))
    unbuilt = keras.Sequential([keras.layers.Dense(2)], name="late")
    with pytest.raises(hh.ModelError, match="'late' is not built"):
        hh.trace(unbuilt)
    with pytest.raises(hh.ModelError, match="expected a keras.Model"):
        hh.trace("resnet20")


def test_unknown_criterion_and_bad_data():
    with pytest.raises(hh.HHError, match="Did you mean gradient"):
        hh.score_channels(model(), batches(), LOSS, criterion="gradients")
    bad = [(np.full((2, 8, 8, 3), np.nan, "float32"), np.zeros(2, int))]
    with pytest.raises(hh.SearchError, match="batch 1 is nan"):
        hh.score_channels(model(), bad, LOSS)
    with pytest.raises(hh.SearchError, match="empty"):
        hh.score_channels(model(), [], LOSS)


def test_unknown_spatial_size_takes_an_input_shape():
    m = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)])
    with pytest.raises(hh.ModelError, match="pass input_shape"):
        hh.cost(m)
    assert hh.cost(m, (10, 12, 3)).macs == 8 * 10 * 9 * 3 * 4
    with pytest.raises(hh.ModelError, match="does not fit"):
        hh.cost(m, (10, 12, 4))


def test_layers_of_which_nothing_is_proved_freeze_with_a_warning_that_names_them():
    i = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 1, name="conv")(i)
    share = keras.layers.Lambda(lambda t: t / keras.ops.sum(t, -1, True), name="share")
    m = keras.Model(i, keras.layers.Conv2D(2, 1)(keras.layers.Conv2D(5, 1)(share(x))))
    with pytest.warns(UserWarning, match="'share' \\(Lambda\\): .* not their own"):
        channels = hh.trace(m)
    assert "share" in channels.group("conv").frozen
    assert 0 < channels.removable_share < 1


class Gain(keras.layers.Layer):
    """Counts its calls, so that no trial can tell what it does."""

    def build(self, input_shape):
        self.gain = self.add_weight(name="gain", shape=(input_shape[-1],))
        self.calls = self.add_weight(name="calls", shape=(), trainable=False)

    def call(self, x):
        self.calls.assign(self.calls + 1.0)
        return x * self.gain


def test_a_rule_teaches_a_layer():
    i = keras.Input((8, 8, 3))
    x = Gain()(keras.layers.Conv2D(6, 1, name="conv")(i))
    m = keras.Model(i, keras.layers.Conv2D(2, 1)(x))
    with pytest.warns(UserWarning, match="Gain.*state that changes"):
        assert hh.trace(m).group("conv").frozen
    from hh_keras.graph.rules.registry import RULES

    @hh.register_rule(Gain)
    def gain(layer, call):
        return call.passes(weights={"gain": (call.along(call.x, -1),)})

    try:
        plan = hh.shrink(
            m,
            budget=hh.Budget(macs=2e3),
            criterion="uniform",
            width=1,
            weights="inherit",
        ).plan
        x = np.ones((1, 8, 8, 3), "float32")
        np.testing.assert_allclose(hh.mask(m, plan)(x), hh.rebuild(m, plan)(x), 1e-5)
    finally:
        del RULES[Gain]


def test_the_table_says_what_is_coupled_and_frozen():
    text = str(hh.trace(ZOO["residual"]()))
    assert "frozen: model output" in text and "removable" in text
    assert "could be saved" in text
