"""Units whose channels no config counts, or that lie along other axes than the last."""

import math
import sys

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import hh_keras as hh
from hh_keras import latency
from hh_keras.latency.building import build
from hh_keras.latency.framing import resized
from hh_keras.latency.units import counts
from tests.zoo import ZOO

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# Heads by hand, tables per head, shared keys, rotary numbers, tied embeddings, planes.
NAMES = (
    "bert", "channels_first", "einsum_heads", "einsums", "fused_heads", "gmlp",
    "heads_by_hand", "normalised_by_hand", "older_attention", "planes_of_layers",
    "products", "rotary_by_a_table", "swin", "time_distributed",
)  # fmt: skip


def half(model):
    """`(plan, keep)`: half of each group, two channels at least."""
    channel_map = hh.trace(model)
    draw = np.random.default_rng(0)
    keep = np.zeros(channel_map.size, bool)
    for group in channel_map.groups:
        n = len(group) if group.frozen else max(min(2, len(group)), len(group) // 2)
        keep[draw.choice(group.ids, n, replace=False)] = True
    return hh.Plan.of(channel_map, keep), channel_map.whole(keep)


@pytest.mark.parametrize("name", NAMES)
def test_rebuilt_networks_have_the_units_and_the_counts_of_their_plan(name):
    model = ZOO[name]()
    plan, keep = half(model)
    whole, parts = latency.units(model), latency.units(hh.rebuild(model, plan))
    assert latency.architecture(whole) == latency.architecture(parts)
    for one, other in zip(whole, parts, strict=True):
        assert counts(one, keep) == counts(other), one.name


@pytest.mark.parametrize("groups, sizes", [(2, (8, 12)), (8, (4, 20))])
def test_convolutions_in_groups_leave_within_them_or_whole(groups, sizes):
    """Large groups lose channels of theirs, of small ones some leave."""
    i = keras.Input((6, 6, 3))
    x = L.Conv2D(40, 1)(i)
    x = L.Conv2D(40, 3, groups=groups, padding="same", name="in_groups")(x)
    model = keras.Model(i, L.Dense(3)(L.GlobalAveragePooling2D()(x)))
    unit = next(u for u in latency.units(model) if u.name == "in_groups")
    assert unit.contracts == (groups == 2)
    layer = build(unit, *sizes).get_layer("in_groups")
    assert layer.filters == sizes[1]
    assert layer.groups == (2 if groups == 2 else 4)


@pytest.mark.parametrize("name", ("fused_heads", "rotary_by_a_table", "swin"))
def test_units_of_all_kinds_are_built_with_half_the_channels(name):
    model = ZOO[name]()
    plan, _ = half(model)
    seen = set()
    pairs = zip(latency.units(model), latency.units(hh.rebuild(model, plan)))
    for unit, small in pairs:
        if unit.key in seen:
            continue
        seen.add(unit.key)
        built = build(unit, *counts(small)).output_shape
        whole = (1, *small.output.whole(1))
        found, wanted = (math.prod(n or 1 for n in shape) for shape in (built, whole))
        assert found == pytest.approx(wanted, rel=0.35), unit.name


def attention(x, heads, numbers):
    """As many write it: no layer counts the heads."""
    positions, width = x.shape[1:]

    def split(x):
        x = L.Dense(heads * numbers)(x)
        x = ops.reshape(x, (-1, positions, heads, numbers))
        return ops.transpose(x, (0, 2, 1, 3))

    q, k, v = split(x), split(x), split(x)
    scores = ops.matmul(q, ops.swapaxes(k, -1, -2)) / math.sqrt(numbers)
    y = ops.matmul(ops.softmax(scores), v)
    y = ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (-1, positions, heads * numbers))
    return L.Dense(width)(y)


def network(positions=10, heads=4, numbers=6):
    x = inputs = keras.Input((positions, 5))
    x = L.Dense(12, name="made")(x)
    x = x + attention(L.LayerNormalization()(x), heads, numbers)
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling1D()(x)))


def units_of(kind):
    return [u for u in latency.units(network()) if type(u.steps[0].op).__name__ == kind]


def test_products_of_heads_are_counted_by_heads_and_by_their_numbers():
    (softmax,) = units_of("Softmax")
    scores, mixed = units_of("Matmul")
    assert counts(scores) == (2 * 4 * 6, 4) and scores.contracts
    assert counts(softmax) == (4, 4) and not softmax.contracts
    assert counts(mixed) == (4 + 4 * 6, 4 * 6)
    assert not mixed.contracts  # what goes in comes out


@pytest.mark.parametrize("heads, numbers", [(4, 6), (2, 6), (4, 3), (2, 12), (8, 6)])
def test_a_product_alone_has_the_heads_and_numbers_that_are_asked_for(heads, numbers):
    unit, _ = units_of("Matmul")
    built = resized(unit, 2 * heads * numbers, heads)
    assert built.output_shape[1:] == (heads, 10, 10)
    assert sorted(t.shape[1:] for t in built.inputs) == sorted(
        [(heads, 10, numbers), (heads, numbers, 10)]
    )


def test_constants_are_no_units():
    """A runtime computes them once: a table of biases, looked up and turned."""
    names = [u.name for u in latency.units(ZOO["swin"]())]
    assert not any("head_bias" in name for name in names), names


def test_heads_by_hand_are_measured_and_predicted(monkeypatch):
    measuring = sys.modules[latency.measure.__module__]
    monkeypatch.setattr(measuring, "_SHARES", (1 / 4, 1))
    monkeypatch.setattr(measuring, "_SWEEP", range(33, 66, 16))
    model = network(32)
    table = latency.measure([model], rounds=3)
    ours = latency.latency_model(model, table)
    channel_map = hh.trace(model)
    whole = np.array([len(g) for g in channel_map.groups])
    heads = next(i for i, g in enumerate(channel_map.groups) if len(g) == 4)
    fewer = np.where(np.arange(len(whole)) == heads, 1, whole)
    assert 0 < ours(fewer) < ours(whole)
