"""What removed channels carried is taken over by those that stay."""

import keras
import numpy as np
import pytest
from keras import layers as L

import hh_keras as hh
from hh_keras.search.distance import output_distance
from hh_keras.search.elimination import _Block, _importance, elimination_scores
from hh_keras.surgery.compensation import compensate, constants
from hh_keras.surgery.least_squares import inverse, remove
from hh_keras.surgery.moments import collect
from hh_keras.surgery.readers import cycle, readers
from tests.surgery.test_invariants import assert_same
from tests.zoo import example, randomize

NETWORKS = {}


def network(build):
    NETWORKS[build.__name__] = build
    return build


@network
def convolutions_and_batch_norms():
    i = keras.Input((10, 10, 3))
    x = i
    for k in range(3):
        x = L.Conv2D(8, 3, padding="valid", use_bias=False, name=f"conv_{k}")(x)
        x = L.ReLU()(L.BatchNormalization()(x))
    return keras.Model(i, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


@network
def every_kind_of_kernel():
    i = keras.Input((9, 9, 4))
    x = L.Conv2D(8, 3, activation="relu", name="first")(i)
    x = L.DepthwiseConv2D(3, padding="same")(x)
    x = L.SeparableConv2D(6, 3, depth_multiplier=2, activation="tanh")(x)
    x = L.Conv2DTranspose(8, 2, strides=2, activation="relu")(x)
    x = L.Conv2D(6, 1, groups=2)(x)
    x = L.Conv2D(6, (1, 3), data_format="channels_last", activation="tanh")(x)
    x = L.Dense(6, activation="relu")(x)
    return keras.Model(i, L.Dense(3)(L.Flatten()(L.MaxPooling2D(3)(x))))


@network
def streams_and_shared_layers():
    i = keras.Input((8, 8, 3))
    shared = L.Conv2D(6, 3, padding="same", name="shared")
    stem = L.Conv2D(6, 3, padding="same", activation="relu")(i)
    x = L.Add()([stem, shared(L.ReLU()(stem))])
    x = L.Add()([x, shared(L.ReLU()(x))])
    x = L.Concatenate()([x, L.Conv2D(4, 1, activation="relu", name="side")(i)])
    x = L.Conv2D(5, 3, name="joined")(x)
    return keras.Model(i, [L.GlobalMaxPooling2D()(x), L.Dense(2)(L.Flatten()(x))])


@network
def padded_streams():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, padding="same", name="stem")(i)
    for width, sides in ((7, (1, 2)), (8, (0, 1))):
        y = L.Conv2D(6, 3, 2, "same", activation="relu")(x)
        y = L.Conv2D(width, 3, padding="same", use_bias=False)(y)
        x = keras.ops.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), sides))
        x = L.ReLU()(L.Add()([x, L.BatchNormalization()(y)]))
    x = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (3, 0)))  # read by a kernel at once
    return keras.Model(i, L.Dense(3)(L.Flatten()(L.Conv2D(5, 1, name="last")(x))))


@pytest.fixture(params=sorted(NETWORKS))
def model(request):
    keras.utils.set_random_seed(1)
    return randomize(NETWORKS[request.param]())


def batches(model, count=6, size=16, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [tuple(t.shape)[1:] for t in model.inputs]
    data = [
        [rng.normal(size=(size, *s)).astype("float32") for s in shapes]
        for _ in range(count)
    ]
    return [x[0] if len(x) == 1 else x for x in data]


def compensated(model, plan, data):
    channels = hh.trace(model)
    moments = collect(model, readers(channels), data)
    small = hh.rebuild(model, plan)
    return compensate(model, small, channels, plan.keep_in(channels), moments)


def first_copies(wide, original):
    """A plan that keeps as many channels of each group as the original has."""
    channels = hh.trace(wide)
    keep = np.ones(channels.size, bool)
    for group, before in zip(channels.groups, hh.trace(original).groups):
        if group.frozen is None:
            times = len(group) // len(before)
            keep[group.ids.start : group.ids.stop] = np.arange(len(group)) % times == 0
    return hh.Plan.of(channels, keep)


def test_copies_that_leave_change_nothing(model):
    wide = hh.widen(model, 2, "preserve")
    plan = first_copies(wide, model)
    small = compensated(wide, plan, batches(model))
    x = example(model)
    assert small.count_params() < wide.count_params()
    raw = hh.rebuild(wide, plan)
    assert_same(model(x), small(x), 1e-4)
    with pytest.raises(AssertionError):
        assert_same(model(x), raw(x), 1e-2)


def test_outputs_are_nearer_than_without(model):
    channels, data = hh.trace(model), batches(model, 40)
    rng = np.random.default_rng(0)
    keep = ~channels.removable | (rng.random(channels.size) < 0.7)
    for group in channels.groups:
        keep[group.ids.start] = True
    plan = hh.Plan.of(channels, keep)
    raw, small = hh.rebuild(model, plan), compensated(model, plan, data)
    x = batches(model, 1, 64, seed=9)[0]
    wanted = [np.asarray(y) for y in keras.tree.flatten(model(x))]
    errors = [
        sum(
            np.square(np.asarray(y) - w).mean() / w.var()
            for y, w in zip(keras.tree.flatten(m(x)), wanted)
        )
        for m in (raw, small)
    ]
    assert errors[1] < errors[0]


def test_moments_are_those_of_what_is_read():
    model = NETWORKS["convolutions_and_batch_norms"]()
    channels, data = hh.trace(model), batches(model, 3)
    moments = collect(model, readers(channels), data)
    head = model.layers[-1].name  # reads what was pooled
    inner = keras.Model(model.input, model.get_layer(head).input)
    x = np.concatenate([np.asarray(inner(b)) for b in data])
    x = np.hstack([x, np.ones((len(x), 1))]).astype("float64")
    found = moments[head]
    np.testing.assert_allclose(found.whole, x.T @ x / len(x), rtol=1e-4, atol=1e-6)
    assert found.counts.sum() == len(x)
    assert len(moments["conv_2"].whole) == 9 * 8 + 1


def test_a_channel_costs_what_all_its_positions_do():
    """A channel that leaves a convolution raises its error by what elimination says."""
    model = randomize(NETWORKS["convolutions_and_batch_norms"]())
    channels, data = hh.trace(model), batches(model)
    reader = next(r for r in readers(channels) if r.path == "conv_2")
    moments = collect(model, [reader], data)["conv_2"]
    rows = np.arange(72).reshape(9, 8).T
    known = inverse(moments.whole, 1e-9)
    matrix = np.vstack([reader.matrices(np.asarray(reader.op.kernel))[0], np.zeros(8)])
    block = _Block(reader.ids[:8], rows, matrix, np.ones(8), known, 1.0)
    costs = block.costs
    _, left = remove(known, matrix, rows[3])
    change = left - matrix
    lost = np.trace(change.T @ moments.whole @ change)
    np.testing.assert_allclose(costs[3], lost / 2, rtol=1e-4)


def test_caution_multiplies_what_channels_cost():
    rows, matrix = np.array([[0], [1]]), np.array([[3.0], [1.0]])
    block = _Block(np.arange(2), rows, matrix, np.array([2.0]), np.eye(2), factor=4.0)
    for power, factor in ((0, 1), (0.5, 2), (1, 4)):  # ½ h w² / P
        assert block.cautious(power).costs.tolist() == [9 * factor, factor]


def test_energy_of_a_kernel_without_an_axis_of_outputs_is_shared_by_all():
    i = keras.Input((5, 2))
    x = L.Dense(4)(i)
    model = keras.Model(i, L.EinsumDense("abc,cd->abd", (None, 3), name="head")(x))
    (reader,) = readers(hh.trace(model))
    assert reader.outputs is None
    kernel = np.asarray(reader.op.kernel)
    (found,) = _importance(reader, np.array([6.0]), kernel)
    assert found.tolist() == [2, 2, 2]


def test_scores_put_off_what_others_cannot_tell():
    """Two channels are copies of one another: one of them goes first."""
    model = NETWORKS["convolutions_and_batch_norms"]()
    conv = model.get_layer("conv_1")
    kernel = np.array(conv.kernel)
    kernel[..., 5] = kernel[..., 2]
    conv.kernel.assign(kernel)
    channels = hh.trace(model)
    moments = collect(model, readers(channels), batches(model), output_distance(model))
    (scores,) = elimination_scores(model, channels, moments)
    group = channels.group("conv_1")
    mine = scores[group.ids.start : group.ids.stop]
    assert int(np.argmin(mine)) in (2, 5)
    assert (scores[~channels.removable] == 1).all()


@pytest.mark.core
def test_of_two_that_matter_alike_the_dearer_goes_first():
    few, many = keras.Input((4,)), keras.Input((60,))
    read = [L.Dense(4, name="cheap")(few), L.Dense(4, name="dear")(many)]
    model = keras.Model([few, many], L.Dense(3, name="head")(L.Concatenate()(read)))
    for name, inputs in (("cheap", 4), ("dear", 60)):
        kernel = np.repeat(np.eye(4), inputs // 4, 0) / (inputs // 4) ** 0.5
        model.get_layer(name).set_weights([kernel, np.zeros(4)])
    model.get_layer("head").set_weights([np.ones((8, 3)), np.zeros(3)])
    rng = np.random.default_rng(0)
    data = [[rng.normal(size=(32, n)).astype("float32") for n in (4, 60)]] * 8
    channels = hh.trace(model)
    moments = collect(model, readers(channels), data, output_distance(model))
    (scores,) = elimination_scores(model, channels, moments)
    assert int(np.argmin(scores)) in channels.group("dear").ids


def test_planes_of_zeros_go_first():
    model = randomize(NETWORKS["padded_streams"]())
    channels = hh.trace(model)
    moments = collect(model, readers(channels), batches(model), output_distance(model))
    scores = elimination_scores(model, channels, moments)
    (zeros,) = (g.ids for g in channels.groups if not (g.producers or g.frozen))
    assert len(zeros) == 3 and int(np.argmin(scores)) in zeros


def test_data_that_tells_nothing_is_refused():
    model = NETWORKS["convolutions_and_batch_norms"]()
    found = readers(hh.trace(model))
    with pytest.raises(hh.SearchError, match="is empty"):
        collect(model, found, [])
    bad = np.full((2, 10, 10, 3), np.nan, "float32")
    with pytest.raises(hh.SearchError, match="'conv_1' reads is not finite"):
        collect(model, found, [bad])


def test_ids_that_come_again_are_found():
    assert cycle(np.tile([3, 5, 9], 4)) == 3
    assert cycle(np.repeat([3, 5], 2)) == 4
    assert cycle(np.array([1, 2, 3])) == 3


@pytest.mark.core
def test_what_is_constant_goes_to_a_bias_or_the_mean_of_a_batch_norm():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 1, activation="relu", name="first")(i)
    x = L.Conv2D(6, 3, use_bias=False, name="normed")(x)
    x = L.BatchNormalization(name="norm")(x)
    x = L.Conv2D(4, 1, name="biased", activation="relu")(x)
    x = L.Conv2D(4, 1, use_bias=False, name="bare")(x)
    model = keras.Model(i, L.Dense(2, name="head")(L.GlobalMaxPooling2D()(x)))
    randomize(model)
    assert constants(model) == {
        "first": ("first", "bias", 1),
        "normed": ("norm", "moving_mean", -1),
        "biased": ("biased", "bias", 1),
        "head": ("head", "bias", 1),
    }
    kernel, bias = model.get_layer("first").get_weights()
    kernel[..., 1::2], bias[1::2] = 0, [0.5, 1, 2]  # half of the channels say nothing
    model.get_layer("first").set_weights([kernel, bias])
    channels = hh.trace(model)
    group = channels.sites["first"].weights["kernel"][3]
    keep = np.ones(channels.size, bool)
    keep[group[1::2]] = False
    data = batches(model)
    small = compensated(model, hh.Plan.of(channels, keep), data)
    assert_same(model(data[0]), small(data[0]), 1e-4)
