"""Latency tables, what they predict, and budgets in milliseconds."""

import dataclasses
import json
import sys
import types

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras import latency
from hh_keras.errors import BudgetError, HHError, LatencyError
from hh_keras.latency import correcting
from hh_keras.latency.building import build, convert
from hh_keras.latency.measure import _best_step
from hh_keras.latency.table import Grid
from hh_keras.latency.units import counts

STEPS = {"Conv2D": (1, 8), "Dense": (1, 8)}


def network(width=32, size=8):
    """Residual, concatenation, depthwise, squeeze-excite, padding."""
    x = inputs = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 255)(x)
    x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name="stem")(x)
    x = keras.layers.BatchNormalization()(x)
    x = shortcut = keras.layers.ReLU()(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="depth")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Activation("swish")(x)
    x = keras.layers.Conv2D(width, 1, name="point")(x)
    x = keras.layers.Add(name="sum")([x, shortcut])
    squeezed = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    squeezed = keras.layers.Conv2D(width, 1, activation="sigmoid")(squeezed)
    x = keras.layers.Multiply(name="gate")([x, squeezed])
    y = keras.layers.ZeroPadding2D(name="pad")(x)
    y = keras.layers.Conv2D(width, 3, name="branch")(y)
    x = keras.layers.Concatenate(name="join")([x, y])
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="head")(x))


def table_of(models, cost, networks=None):
    """A table in which a unit takes `cost(input, output)` milliseconds."""
    grids = {}
    for model in models:
        for unit in latency.units(model):
            at = (1, 2048)
            ms = np.array([[cost(i, o) if unit.contracts else o * 1e-5 for o in at]
                           for i in at])  # fmt: skip
            grids[unit.key] = Grid(at, at, ms)
    return latency.LatencyTable(
        {"machine": "none"}, "float32", 1, 0.0, STEPS, grids, networks or {}
    )


def product(n_in, n_out):
    return n_in * n_out * 1e-5


def random_plan(model, seed):
    channel_map = hh.trace(model)
    scores = np.random.default_rng(seed).random(channel_map.size)
    return hh.select_channels(
        channel_map, scores, hh.Budget(macs=0.5 * hh.cost(model).macs)
    )


def test_units_hold_what_a_runtime_fuses():
    names = [[s.path for s in u.steps] for u in latency.units(network())]
    kinds = [
        "+".join(type(s.op).__name__ for s in u.steps) for u in latency.units(network())
    ]
    assert "Conv2D+BatchNormalization+ReLU" in kinds
    assert "DepthwiseConv2D+BatchNormalization+Activation" in kinds
    assert "ZeroPadding2D+Conv2D" in kinds, kinds
    assert "Concatenate+BatchNormalization+ReLU" in kinds
    flat = sum(names, [])
    assert len(flat) == len(set(flat)) and not any("dropout" in n for n in flat)


def sequences(heads=4):
    """Dense, attention with heads of its own and with shared ones, on sequences."""
    x = inputs = keras.Input((6, 8))
    x = keras.layers.Dense(12, name="made")(x)
    y = keras.layers.LayerNormalization(name="norm")(x)
    x = x + keras.layers.MultiHeadAttention(heads, 6, name="heads")(y, y)
    x = x + keras.layers.GroupQueryAttention(6, heads, 2, name="shared")(x, x)
    y = keras.layers.Dense(24, activation="gelu", name="hidden")(x)
    x = x + keras.layers.Dense(12, name="point")(y)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(5, name="head")(x))


@pytest.mark.parametrize("build_network", [network, sequences])
def test_rebuilt_networks_have_the_units_and_the_counts_of_their_plan(build_network):
    model = build_network()
    plan = random_plan(model, 0)
    small = hh.rebuild(model, plan)
    whole, parts = latency.units(model), latency.units(small)
    assert latency.architecture(whole) == latency.architecture(parts)
    keep = hh.trace(model).whole(plan.keep)
    assert [counts(u, keep) for u in whole] == [counts(u) for u in parts]


def operations():
    """Channels that operations, not layers, put beside others."""
    i = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3, name="first")(i)
    y = keras.layers.Conv2D(8, 1, name="second")(x)
    x = keras.ops.concatenate([x, keras.ops.relu(y)], axis=-1)
    y = keras.layers.Conv2D(20, 3, 2, "same", name="third")(x)
    x = y + keras.ops.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (1, 5)))
    return keras.Model(i, keras.layers.Conv2D(10, 1, name="head")(x))


def test_an_architecture_is_the_kinds_of_all_its_units():
    found = [types.SimpleNamespace(key=key) for key in ("stem", "block", "head")]
    same = [types.SimpleNamespace(key=each.key, counts=3) for each in found]
    assert latency.architecture(found) == latency.architecture(same)
    for place in range(3):
        other = [*found[:place], types.SimpleNamespace(key="x"), *found[place + 1 :]]
        assert latency.architecture(found) != latency.architecture(other)


def test_channels_of_operations_are_counted():
    model = operations()
    plan = random_plan(model, 0)
    whole, parts = latency.units(model), latency.units(hh.rebuild(model, plan))
    assert [counts(u, plan.keep) for u in whole] == [counts(u) for u in parts]
    assert all(u.output.ids is not None for u in whole)


@pytest.mark.parametrize("build_network", [network, operations, sequences])
def test_a_unit_alone_has_the_shape_it_has_in_the_network(build_network):
    for unit in latency.units(build_network()):
        n_in, n_out = counts(unit)
        assert build(unit, n_in, n_out).output_shape[1:] == unit.output.shape
        if unit.contracts and "head" not in unit.name:
            assert build(unit, 5, 7).output_shape[-1] == 7
        elif not unit.contracts and unit.output.shape[-1] > 3:
            assert build(unit, 0, 14).output_shape[-1] == 14


@pytest.mark.parametrize("build_network", [network, sequences])
@pytest.mark.parametrize("seed", range(2))
def test_prediction_from_counts_is_that_of_the_rebuilt_network(seed, build_network):
    model = build_network()
    table = table_of([model], product)
    channel_map = hh.trace(model)
    predict = latency.latency_model(model, table)
    plan = random_plan(model, seed)
    kept = [len(plan.kept[g.name]) for g in channel_map.groups]
    small = hh.rebuild(model, plan)
    assert predict(kept) == pytest.approx(latency.predict_latency(small, table))
    by_hand = 0
    for unit in latency.units(small):
        n_in, n_out = counts(unit)
        step = 8 if {type(s.op).__name__ for s in unit.steps} & {*STEPS} else 1
        n_out = -(-n_out // step) * step
        by_hand += product(n_in, n_out) if unit.contracts else n_out * 1e-5
    assert predict(kept) == pytest.approx(by_hand, rel=1e-6)


def test_networks_measured_whole_correct_the_sum():
    model = network()
    plain = latency.predict_latency(model, table_of([model], product))
    known = {latency.architecture(latency.units(model)): (0.5, 1.0)}
    table = table_of([model], product, known)
    assert latency.predict_latency(model, table) == pytest.approx(plain * 0.5 + 1)


def test_what_running_a_file_takes_is_counted_once():
    grids = {
        key: Grid((1,), (1,), np.array([[ms]])) for key, ms in (("a", 2), ("b", 0.3))
    }
    networks = {"one": (2.0, 0.125), "other": (9.0, 0.0), "third": (4.0, 0.0)}
    table = latency.LatencyTable({}, "float32", 1, 0.5, {}, grids, networks)
    units = [types.SimpleNamespace(key=key, steps=[]) for key in grids]
    assert [table.unit_ms(unit, 1, 1) for unit in units] == [1.5, 0]  # not below 0
    assert table.total_ms("one", 3.0) == 2 * 3 + 0.125
    assert table.total_ms("unknown", 3.0) == 4 * 3 + 0.5  # the median's factor
    assert dataclasses.replace(table, networks={}).total_ms("one", 3.0) == 3 + 0.5


def test_grids_interpolate_between_and_beyond():
    grid = Grid((1, 11), (1, 21), np.array([[1.0, 21.0], [11.0, 231.0]]))
    for n_in, n_out in ((1, 1), (11, 21), (6, 11), (22, 42)):
        assert grid(n_in, n_out) == pytest.approx(n_in * n_out)
    assert Grid((1,), (5,), np.array([[2.0]]))(7, 9) == 2.0


def test_tables_survive_json(tmp_path):
    model = network()
    table = table_of([model], product, {"a": (1.0, 0.1)})
    table.save(tmp_path / "t.json")
    again = latency.LatencyTable.load(tmp_path / "t.json")
    assert again.to_json() == table.to_json() and again.networks == {"a": (1.0, 0.1)}
    assert latency.predict_latency(model, again) == pytest.approx(
        latency.predict_latency(model, table)
    )


def test_damaged_tables_are_named(tmp_path):
    path = tmp_path / "t.json"
    whole = json.loads(table_of([network()], product).to_json())
    cases = ["", "[]", "{}", json.dumps({**whole, "grids": {"a": {}}})]
    for text in cases:
        path.write_text(text)
        with pytest.raises(LatencyError, match="t.json"):
            latency.LatencyTable.load(path)
    key, grid = next(iter(whole["grids"].items()))
    for changes, said in (
        ({"steps": {"Conv2D": [0, 8]}}, "steps of Conv2D"),
        ({"overhead_ms": float("nan")}, "not finite"),
        ({"grids": {key: {**grid, "ms": [[1, -2], [3, 4]]}}}, "negative"),
        ({"grids": {key: {**grid, "inputs": [9, 4]}}}, "do not rise"),
        ({"networks": {"abc": [0, 1]}}, "network abc"),
    ):
        path.write_text(json.dumps({**whole, **changes}))
        with pytest.raises(LatencyError, match=f"t.json.*{said}"):
            latency.LatencyTable.load(path)
    path.write_text(json.dumps({**whole, "version": 99}))
    with pytest.raises(LatencyError, match="version"):
        latency.LatencyTable.load(path)
    with pytest.raises(LatencyError, match="none.json"):
        latency.LatencyTable.load(tmp_path / "none.json")


def test_a_layer_that_was_not_measured_is_named():
    table = table_of([network(size=8)], product)
    with pytest.raises(LatencyError, match="rescaling|stem"):
        latency.predict_latency(network(size=9), table)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_latency_budgets_are_met_in_whole_steps(share):
    model = network(64)
    table = table_of([model], product)
    channel_map = hh.trace(model)
    scores = np.random.default_rng(3).random(channel_map.size)
    limit = share * latency.predict_latency(model, table)
    budget = hh.Budget(latency_ms=limit, latency_table=table)
    plan = hh.select_channels(channel_map, scores, budget)
    small = hh.rebuild(model, plan)
    found = latency.predict_latency(small, table)
    assert found <= limit and found == pytest.approx(plan.notes["latency_ms"])
    assert all(
        len(plan.kept[g.name]) % 8 == 0 for g in channel_map.groups if not g.frozen
    )
    both = dataclasses.replace(budget, macs=0.2 * hh.cost(model).macs)
    tight = hh.select_channels(channel_map, scores, both)
    assert tight.notes["macs"] <= both.macs and tight.notes["latency_ms"] <= limit


def test_what_steps_leave_of_other_limits_is_used_in_smaller_ones():
    """Steps of 8 are too large for the MACs that are left; latency allows them."""
    model = network(64)
    table = table_of([model], product)
    channel_map = hh.trace(model)
    scores = np.random.default_rng(3).random(channel_map.size)
    whole = latency.predict_latency(model, table)
    for share in (0.11, 0.17, 0.23, 0.29):
        macs = share * hh.cost(model).macs
        budget = hh.Budget(macs, latency_ms=whole, latency_table=table)
        found = hh.select_channels(channel_map, scores, budget)
        assert 0.98 * macs <= found.notes["macs"] <= macs
        counts = [len(found.kept[g.name]) for g in channel_map.groups if not g.frozen]
        assert sum(n % 8 > 0 for n in counts) <= 2, counts


def test_at_equal_latency_it_keeps_more_than_a_budget_in_macs():
    """Where time grows in steps, MACs say too little."""
    model = network(64)
    table = table_of([model], product)
    channel_map = hh.trace(model)
    gained = []
    for seed in range(5):
        scores = np.random.default_rng(seed).random(channel_map.size)
        in_macs = hh.Budget(macs=0.5 * hh.cost(model).macs)
        by_macs = hh.select_channels(channel_map, scores, in_macs, round_to=1)
        ms = latency.predict_latency(hh.rebuild(model, by_macs), table)
        by_ms = hh.select_channels(
            channel_map, scores, hh.Budget(latency_ms=ms, latency_table=table)
        )
        assert by_ms.notes["latency_ms"] <= ms + 1e-12
        gained.append(by_ms.keep.sum() - by_macs.keep.sum())
    assert np.mean(gained) > 0


def test_budgets_that_cannot_be_met_say_so():
    model = network()
    table = table_of([model], product)
    with pytest.raises(HHError, match="latency_table"):
        hh.Budget(latency_ms=1.0)
    with pytest.raises(BudgetError, match="ms: the smallest reachable"):
        hh.select_channels(
            hh.trace(model), np.ones(hh.trace(model).size),
            hh.Budget(latency_ms=1e-4, latency_table=table),
        )  # fmt: skip


def test_steps_are_found_in_noise():
    n = np.arange(33, 66, 2)
    rng = np.random.default_rng(0)
    for step in (1, 8, 16, 32):
        ms = (-(-n // step) * step) * 0.01 + rng.normal(0, 0.003, len(n))
        assert _best_step(n, ms) == step


@pytest.fixture
def few_counts(monkeypatch):
    """A third of the files: every kind of layer is timed, at fewer channel counts."""
    measuring = sys.modules[latency.measure.__module__]
    monkeypatch.setattr(measuring, "_SHARES", (1 / 4, 1))
    monkeypatch.setattr(measuring, "_SWEEP", range(33, 66, 4))


@pytest.mark.slow
@pytest.mark.usefixtures("few_counts")
@pytest.mark.parametrize("quantize", ["float32", "int8"])
def test_measured_tables_predict_the_network_they_were_made_for(quantize):
    model = network()
    table = latency.measure([model], quantize, rounds=5)
    assert table.overhead_ms > 0 and len(table.networks) == 1
    plain = latency.predict_latency(model, table)
    small = hh.rebuild(model, random_plan(model, 1))
    assert 0 < latency.predict_latency(small, table) <= plain
    again = latency.measure([model], quantize, rounds=5, table=table)
    assert again.grids.keys() == table.grids.keys()
    with pytest.raises(LatencyError, match="threads"):
        latency.measure([model], quantize, threads=2, table=table)


def test_layers_too_fast_to_be_timed_leave_the_network_its_own_time(monkeypatch):
    """Each file takes as long as one that has nothing to do."""

    def equal(contents, threads, rounds, twice=False):
        return np.full((len(contents), rounds), 0.002 if twice else 0.001)

    monkeypatch.setattr(sys.modules["hh_keras.latency.measure"], "time_files", equal)
    tiny = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 1)])
    table = latency.measure([tiny], rounds=2)
    assert latency.predict_latency(tiny, table) == pytest.approx(0.002)


def test_the_wanted_latency_is_found_where_the_table_is_wrong(monkeypatch):
    model = network()
    table = dataclasses.replace(table_of([model], product), device=latency.device())
    original = latency.predict_latency(model, table)
    aims = []

    def attempt(budget):
        aims.append(budget.latency_ms)
        if budget.latency_ms < 0.3 * original:
            raise BudgetError("too little")
        return None, model

    def measured(contents, *_):
        # Far below the table for small networks, about right for large ones.
        share = aims[-1] / original
        return None, np.array([1, 0.2 * share + 0.8 * share**3])

    monkeypatch.setattr(correcting, "compare", measured)
    for wanted in (0.35, 0.5, 0.8):
        aims.clear()
        budget = hh.Budget(latency_ms=wanted * original, latency_table=table)
        *_, found = correcting.keep_to_latency(attempt, model, budget)
        assert found["measured"] == pytest.approx(wanted * original, rel=0.02)
        assert 2 <= len(aims) <= 5
    monkeypatch.setattr(correcting, "compare", lambda *_: (None, np.array([1, 9.0])))
    with pytest.warns(UserWarning, match="is not met: .* 11.25 of it"):
        *_, found = correcting.keep_to_latency(attempt, model, budget)
    assert found["measured"] == 9 * original  # what there is, rather than an error


def test_a_network_below_the_limit_goes_before_a_nearer_one_above(monkeypatch):
    model = network()
    table = dataclasses.replace(table_of([model], product), device=latency.device())
    original = latency.predict_latency(model, table)
    ratios = iter([0.54, 0.45, 0.53, 0.44, 0.53, 0.44])
    monkeypatch.setattr(
        correcting, "compare", lambda *_: (None, np.array([1, next(ratios)]))
    )
    budget = hh.Budget(latency_ms=0.5 * original, latency_table=table)
    with pytest.warns(UserWarning, match="is not used up: of 6 networks"):
        *_, found = correcting.keep_to_latency(lambda _: (None, model), model, budget)
    assert found["measured"] == pytest.approx(0.45 * original)


def test_a_table_is_asked_of_no_more_channels_than_were_measured(monkeypatch):
    """Searches that widen by more than the table was made for are refused, and it is
    added to on demand: kinds that reach far enough are not timed again."""
    monkeypatch.setattr(
        sys.modules["hh_keras.latency.measure"],
        "time_files",
        lambda files, threads, rounds, twice=False: np.array(
            [[len(file) * 1e-6] * rounds for file in files]
        ),
    )
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(6, 3, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(10, 1)(x))
    small = keras.Model(inputs, keras.layers.Dense(4)(x))
    wide = hh.widen(small, 3.0, weights="fresh")
    table = latency.measure([small], rounds=2, width=1.0)
    with pytest.raises(LatencyError, match="up to 2 input and 6 out.*width_mult"):
        latency.predict_latency(wide, table)
    again = latency.measure([small], rounds=2, table=table, width=3.0)
    assert latency.predict_latency(wide, again) > latency.predict_latency(small, again)
    grown = [key for key in table.grids if again.grids[key] is not table.grids[key]]
    assert grown
    for key in grown:  # what was measured stays asked for
        for name in ("inputs", "outputs"):
            assert set(getattr(table.grids[key], name)) <= set(
                getattr(again.grids[key], name)
            )
    once_more = latency.measure([small], rounds=2, table=again, width=3.0)
    assert all(once_more.grids[key] is again.grids[key] for key in again.grids)


@pytest.mark.parametrize("power", [0.5, 1, 3])
@pytest.mark.parametrize("target", [0.1, 2, 3, 100])
def test_the_next_limit_is_right_where_latency_is_a_power_of_it(power, target):
    """Between two that were tried; beyond them it is scaled by the last one's error."""
    seen = [(aim, aim**power) for aim in (1.0, 0.5, 9.0, 5.0)]
    below, above = 0.5**power, 9**power
    wanted = target ** (1 / power) if below <= target < above else 5 * target / 5**power
    assert correcting._next_aim(seen, target) == pytest.approx(wanted)


@pytest.mark.core
def test_steps_of_groups_are_those_of_the_layers_that_make_them():
    """A group of fewer channels than the step leaves as a whole, if at all."""
    x = inputs = keras.Input((8, 8, 3))
    for width in (32, 6, 24):
        x = keras.layers.Conv2D(width, 3, name=f"conv_{width}")(x)
    x = keras.layers.Dense(16, name="dense")(keras.layers.Flatten()(x))
    model = keras.Model(inputs, keras.layers.Dense(8, name="head")(x))
    table = table_of([model], product)
    table = dataclasses.replace(table, steps={"Conv2D": (4, 8), "Dense": (16, 1)})
    channel_map = hh.trace(model)
    found = latency.latency_model(model, table).steps(channel_map)
    steps = {p: n for g, n in zip(channel_map.groups, found) for p in g.producers}
    assert steps == {"conv_32": 8, "conv_6": 6, "conv_24": 8, "dense": 1, "head": 1}


@pytest.mark.slow
@pytest.mark.usefixtures("few_counts")
def test_shrink_measures_what_it_promises():
    model = network(64, 16)
    table = latency.measure([model], rounds=10)
    limit = 0.6 * latency.predict_latency(model, table)
    found = hh.shrink(
        model, budget=hh.Budget(latency_ms=limit, latency_table=table), width=1,
        criterion="weight_norm",
    )  # fmt: skip
    assert found.latency["target"] == limit and found.latency["measured"] > 0
    assert len(convert(found.model, "float32")) < len(convert(model, "float32"))
    elsewhere = dataclasses.replace(table, device={"machine": "another"})
    budget = hh.Budget(latency_ms=limit, latency_table=elsewhere)
    found = hh.shrink(model, budget=budget, width=1, criterion="weight_norm")
    assert "measured" not in found.latency and found.latency["predicted"] <= limit


def test_only_layers_whose_counts_changed_are_timed_alone():
    model = network(16)
    small = hh.rebuild(model, random_plan(model, 3))
    found = latency.layer_times(model, small, seconds=600)
    units = zip(latency.units(model), latency.units(small))
    changed = [a.name for a, b in units if counts(a) != counts(b)]
    assert [each.name for each in found] == changed and "stem" in changed
    for each in found:
        assert each.inputs[0] != each.inputs[1] or each.outputs[0] != each.outputs[1]
        assert all(ms > 0 for ms in each.ms)
    json.dumps([dataclasses.asdict(each) for each in found])
    assert latency.layer_times(model, model) == []
    assert latency.layer_times(model, operations()) == []


def test_a_layer_that_cannot_be_built_alone_is_left_out(monkeypatch):
    from hh_keras.latency import layers

    def build_some(unit, *sizes):
        if unit.name == "stem":
            raise ValueError("no such layer")
        return build(unit, *sizes)

    monkeypatch.setattr(layers, "build", build_some)
    model = network(16)
    found = latency.layer_times(model, hh.rebuild(model, random_plan(model, 3)))
    assert found and "stem" not in [each.name for each in found]
