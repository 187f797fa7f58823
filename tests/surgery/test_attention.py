"""What attention and normalisation over channels do beyond the invariants."""

import keras
import numpy as np
import pytest
from keras import layers as L

import hh_keras as hh
from hh_keras.search.searching import apply_plan
from tests.surgery.test_compensation import compensated
from tests.surgery.test_invariants import assert_same, random_plan
from tests.zoo import ZOO, example, randomize
from tests.zoo_attention import Positions


def groups(name):
    return {g.name: g for g in hh.trace(ZOO[name]()).groups if not g.frozen}


def test_keys_shared_by_heads_leave_with_them_and_rotary_pairs_together():
    found = groups("small_gpt")
    producers = {g.producers: len(g) for g in found.values()}
    heads = [n for p, n in producers.items() if len(p) == 3]
    pairs = [n for p, n in producers.items() if len(p) == 2 and n == 3]
    assert heads == [2, 2] and pairs == [3, 3]


@pytest.mark.parametrize("tied", [True, False])
def test_a_table_that_is_read_both_ways_stays_one(tied):
    i = keras.Input((5,), dtype="int32")
    words = L.ReversibleEmbedding(20, 12, tie_weights=tied)
    x = L.Dense(12, activation="relu")(words(i))
    model = randomize(keras.Model(i, words(x, reverse=True)))
    channels, x = hh.trace(model), example(model)
    assert channels.removable_share == 1
    plan = random_plan(channels)
    small = hh.rebuild(model, plan)
    assert_same(hh.mask(model, plan)(x), small(x))
    assert_same(hh.fold_scales(hh.add_scales(model))(x), model(x))
    assert len(small.weights) == len(model.weights)
    assert hh.cost(small).params == small.count_params()


def test_heads_of_a_group_leave_with_its_keys_or_one_of_every_group():
    found = groups("rotary_by_a_table")
    assert sorted(len(g) for g in found.values()) == [2, 2, 3, 5, 12]


def kept_of(model, channels, group, count):
    keep = np.ones(channels.size, bool)
    keep[channels.group(group).ids[count:]] = False
    return hh.rebuild(model, hh.Plan.of(channels, keep))


def test_one_head_less_is_written_in_the_config():
    i = keras.Input((5, 12))
    x = L.Dense(8)(i)
    y = L.MultiHeadAttention(4, 6, value_dim=3, name="heads")(x, x)
    model = randomize(keras.Model(i, L.Dense(2)(y)))
    channels = hh.trace(model)
    layer = kept_of(model, channels, "heads", 3).get_layer("heads")
    assert (layer.num_heads, layer.key_dim, layer.value_dim) == (3, 6, 3)
    layer = kept_of(model, channels, "heads:1", 2).get_layer("heads")
    assert (layer.num_heads, layer.key_dim, layer.value_dim) == (4, 2, 3)


def test_scales_tell_what_statistics_lose():
    """A channel that nothing reads but a mean has a slope all the same."""
    i = keras.Input((4,))
    x = L.Dense(6, name="made")(i)
    y = L.LayerNormalization(epsilon=1e-6)(x)
    read = L.Dense(1)
    model = randomize(keras.Model(i, read(y)))
    kernel = np.asarray(read.kernel).copy()
    kernel[0] = 0
    read.kernel.assign(kernel)
    x = example(model, 8)
    scores = hh.score_channels(model, [(x, np.zeros((8, 1)))], "mse", "gradient", 1)
    first = hh.trace(model).group("made").ids[0]
    assert scores[first] > 1e-3


def test_zeros_count_again_with_a_warning():
    model = randomize(ZOO["convnext"]())
    scaled = hh.add_scales(model)
    (gamma,) = [v for v in scaled.variables if v.path.startswith("channel_scale")]
    value = np.ones(gamma.shape)
    value[hh.trace(model).groups[1].ids[0]] = 0
    gamma.assign(value)
    with pytest.warns(UserWarning, match="count again"):
        hh.fold_scales(scaled)


def test_heads_have_a_place_in_the_order_of_elimination():
    """Of what no kernel reads, such as what queries and keys meet by, none is known."""
    i = keras.Input((6, 8))
    y = L.MultiHeadAttention(4, 3, name="heads")(L.Dense(8)(i), i)
    model = randomize(keras.Model(i, L.Dense(3)(y)))
    channels, data = hh.trace(model), [(example(model, 64), None)]
    scores = hh.score_channels(model, data, criterion="obs")
    assert scores[channels.group("heads").ids].min() < 1
    assert scores[channels.group("heads:2").ids].min() < 1
    assert scores[channels.group("heads:1").ids].min() == 1


def test_what_left_is_made_up_for_within_attention():
    """Inputs of a few directions: what left can be told from what stays."""
    i = keras.Input((6, 12))
    x = L.Dense(3)(i)
    x = L.Dense(12, name="wide")(x)
    y = L.MultiHeadAttention(2, 4)(x, x)
    model = randomize(keras.Model(i, L.Dense(3)(y)))
    channels = hh.trace(model)
    keep = np.ones(channels.size, bool)
    keep[channels.group("wide").ids[6:]] = False
    plan = hh.Plan.of(channels, keep)
    x = example(model, 256)
    mended = apply_plan(model, model, plan, calibration=x).model

    def error(m):
        return float(np.abs(np.asarray(m(x)) - np.asarray(model(x))).mean())

    assert error(mended) < 0.05 * error(hh.rebuild(model, plan))


@pytest.mark.core
def test_queries_that_are_mended_make_up_for_fewer_numbers_too():
    """Without a number that is 0 for all, scores are divided by less."""
    i = keras.Input((6, 3))
    x = L.Dense(8, name="wide")(i)  # of three directions
    heads = L.MultiHeadAttention(2, 4, name="heads")
    model = randomize(keras.Model(i, L.Dense(3)(heads(x, x))))
    for weight in heads.query_dense.weights:
        weight.assign(weight * [1, 1, 1, 0])
    channels = hh.trace(model)
    keep = np.ones(channels.size, bool)
    keep[channels.group("wide").ids[4:]] = False
    keep[channels.group("heads:1").ids[3]] = False
    x = example(model, 256)
    small = compensated(model, hh.Plan.of(channels, keep), [[x]])
    assert_same(model(x), small(x), 1e-4)


@pytest.mark.parametrize("weights", ["fresh", "inherit"])
def test_the_default_search_of_a_vit_removes_heads_and_channels(weights):
    """Of the usual sizes: a head has 4 numbers or more, so that one can leave."""
    keras.utils.set_random_seed(0)
    i = keras.Input((12, 12, 3))
    x = Positions()(L.Reshape((9, 32))(L.Conv2D(32, 4, 4)(i)))
    for _ in range(2):
        x = x + L.MultiHeadAttention(4, 8)(x, x)
        y = L.Dense(64, activation="gelu")(L.LayerNormalization()(x))
        x = x + L.Dense(32)(y)
    model = keras.Model(i, L.Dense(4)(L.LayerNormalization()(x)[:, 0]))
    data = [(example(model, 32), np.arange(32) % 4)]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    small = hh.shrink(
        model, *((data, loss) if weights == "inherit" else (None, None)),
        hh.Budget(macs=0.4 * hh.cost(model).macs), width=1, weights=weights,
    ).model  # fmt: skip
    heads = [x for x in small.layers if isinstance(x, L.MultiHeadAttention)]
    hidden = [x.units for x in small.layers if isinstance(x, L.Dense)][::2]
    assert min(x.num_heads for x in heads) < 4
    assert min(hidden[:2]) < 64 and all(n % 8 == 0 for n in hidden[:2])
