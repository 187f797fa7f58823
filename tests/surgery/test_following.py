"""Kernels that follow the small network leave less of an error than without."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

import hh_keras as hh
from hh_keras.graph.program import program
from hh_keras.surgery import following, gains
from hh_keras.surgery.compensation import put, solutions
from hh_keras.surgery.following import follow
from hh_keras.surgery.least_squares import refit
from hh_keras.surgery.moments import collect
from hh_keras.surgery.readers import readers
from hh_keras.surgery.streams import streams
from tests.surgery.test_compensation import (
    NETWORKS,
    batches,
    compensated,
    first_copies,
)
from tests.surgery.test_invariants import assert_same
from tests.zoo import example, randomize


@pytest.fixture(params=sorted(NETWORKS))
def model(request):
    keras.utils.set_random_seed(1)
    return randomize(NETWORKS[request.param]())


def followed(model, plan, data, **more):
    channels = hh.trace(model)
    moments = collect(model, readers(channels), data)
    keep = plan.keep_in(channels)
    solved = solutions(model, channels, keep, moments)
    small = put(hh.rebuild(model, plan), channels, keep, solved)
    return follow(model, small, channels, keep, solved, data, **more)


def test_copies_that_leave_change_nothing(model):
    wide = hh.widen(model, 2, "preserve")
    small = followed(wide, first_copies(wide, model), batches(model))
    assert_same(model(example(model)), small(example(model)), 1e-4)


def deep():
    i = keras.Input((6, 6, 3))
    x = L.Conv2D(12, 3, padding="same", use_bias=False)(i)
    for _ in range(5):
        x = L.ReLU()(L.BatchNormalization()(x))
        x = L.Conv2D(12, 3, padding="same", use_bias=False)(x)
    return keras.Model(i, L.Dense(4)(L.Flatten()(x)))


def test_errors_do_not_add_up():
    keras.utils.set_random_seed(0)
    model = randomize(deep())
    channels, data = hh.trace(model), batches(model, 20)
    scores = np.random.default_rng(0).random(channels.size)
    budget = hh.Budget(macs=0.6 * hh.cost(model).macs)
    plan = hh.select_channels(channels, scores, budget, round_to=1)
    x = batches(model, 1, 64, seed=9)[0]
    wanted = np.asarray(model(x))
    alone, after, few = (
        np.square(np.asarray(small(x)) - wanted).mean() / wanted.var()
        for small in (
            compensated(model, plan, data),
            followed(model, plan, data),
            followed(model, plan, data, memory=1),
        )
    )
    assert after < 0.9 * alone
    assert few == pytest.approx(after, rel=1e-3)  # computed again instead of kept


def test_weights_for_other_inputs_are_the_least_squares_solution():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 5)) + 1
    z = np.hstack([x[:, :3] @ rng.normal(size=(3, 3)), x[:, 3:]]) - 2
    z += 0.1 * rng.normal(size=z.shape)
    weights = rng.normal(size=(5, 2))
    x, z = (np.hstack([a, np.ones((4000, 1))]) for a in (x, z))
    halves = x.reshape(2, 2000, 6), z.reshape(2, 2000, 6)
    across = np.einsum("hni,hnj->hij", *halves) / 2000
    own = np.einsum("hni,hnj->hij", halves[1], halves[1]) / 2000
    counts = np.array([2000.0, 2000.0])
    found = refit(weights, np.zeros((5, 2)), across, own, counts)
    wanted = np.linalg.lstsq(z, x[:, :5] @ weights, rcond=None)[0]
    np.testing.assert_allclose(found, wanted, atol=0.02)


def summands():
    """Blocks that add to a stream: by a bottleneck, a window, an operation."""
    i = keras.Input((8, 8, 3))
    stem = L.Conv2D(10, 3, padding="same", name="stem")(i)
    x = L.ReLU(name="before")(L.BatchNormalization()(stem))
    y = L.Conv2D(20, 1, activation="relu", name="expand")(x)
    y = L.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(y)
    y = L.ReLU()(L.BatchNormalization(name="norm")(y))
    y = L.Conv2D(10, 1, use_bias=False, name="project")(y)
    x = L.Add(name="sum")([x, L.BatchNormalization(name="last")(y)])
    x = L.Conv2D(10, 3, padding="same", name="window")(L.ReLU()(x)) + x
    first = L.Conv2D(10, 3, padding="same", name="active", activation="relu")(x)
    x = L.Add()([first, x])
    return keras.Model(i, L.Dense(4, name="head")(L.GlobalAveragePooling2D()(x)))


def test_what_is_added_to_a_stream_is_known():
    whole = program(summands())
    found = {
        whole.steps[number].path: (
            stream.norm,
            [whole.steps[step].path for step, _ in stream.others],
        )
        for number, stream in streams(whole).items()
    }
    found = {name: found[name] for name in ("project", "window", "last")}
    assert found == {
        "project": ("last", ["before"]),
        "last": (None, ["before"]),
        "window": (None, ["sum"]),
    }
    assert "active" not in {whole.steps[number].path for number in streams(whole)}


def test_kernels_mend_what_they_are_added_to(monkeypatch):
    i = keras.Input((6, 6, 3))
    x = L.Conv2D(8, 1, name="base")(i)
    y = L.Conv2D(9, 1, name="read")(x)
    y = L.BatchNormalization()(L.Conv2D(8, 1, use_bias=False, name="mend")(y))
    y = L.ReLU()(L.Add()([x, y]))
    model = randomize(keras.Model(i, L.Conv2D(4, 1, name="head")(y)))
    kernel = np.asarray(model.get_layer("base").kernel)
    channels, data = hh.trace(model), batches(model)
    collect(model, readers(channels), data)

    def mended():
        small = keras.models.clone_model(model)
        small.set_weights(model.get_weights())
        small.get_layer("base").kernel.assign(kernel * np.linspace(0.6, 1.4, 8))
        keep = np.ones(channels.size, bool)
        return follow(model, small, channels, keep, {}, data)

    assert_same(model(data[0]), mended()(data[0]), 1e-3)
    monkeypatch.setattr(following.streams, "streams", lambda program: {})
    with pytest.raises(AssertionError):
        assert_same(model(data[0]), mended()(data[0]), 1e-2)


@pytest.mark.parametrize("bias", [True, False])
def test_depthwise_kernels_get_gains_and_offsets(bias):
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 1, activation="relu", name="first")(i)
    x = L.DepthwiseConv2D(3, use_bias=bias, name="depthwise")(x)
    x = x if bias else L.BatchNormalization(name="norm")(x)
    model = randomize(keras.Model(i, L.Conv2D(2, 1, name="last")(x)))
    small = keras.models.clone_model(model)
    small.set_weights(model.get_weights())
    layer = small.get_layer("depthwise")  # as if what it reads were half of what it was
    layer.kernel.assign(
        np.asarray(layer.kernel) * [[[0.6], [0.7], [0.8], [0.9], [1.5], [1.9]]]
    )
    if bias:
        layer.bias.assign(np.asarray(layer.bias) + 3)
    channels, data = hh.trace(model), batches(model)
    collect(model, readers(channels), data)
    follow(model, small, channels, np.ones(channels.size, bool), {}, data)
    assert_same(model(data[0]), small(data[0]), 1e-4)


@pytest.mark.parametrize("norm", [L.LayerNormalization, L.GroupNormalization])
def test_what_normalises_vectors_gets_gains_and_offsets(norm):
    """As behind the pooling of a ConvNeXt: there are no positions."""
    i = keras.Input((6, 6, 3))
    x = L.GlobalAveragePooling2D()(L.Conv2D(6, 1, activation="relu")(i))
    groups = {"groups": 1} if norm is L.GroupNormalization else {}
    x = norm(name="norm", **groups)(x)
    model = randomize(keras.Model(i, L.Dense(2)(x)))
    small = keras.models.clone_model(model)
    small.set_weights(model.get_weights())
    layer = small.get_layer("norm")
    layer.gamma.assign(np.asarray(layer.gamma) * [0.6, 0.7, 0.8, 0.9, 1.5, 1.9])
    layer.beta.assign(np.asarray(layer.beta) + 3)
    channels, data = hh.trace(model), batches(model)
    collect(model, readers(channels), data)
    follow(model, small, channels, np.ones(channels.size, bool), {}, data)
    assert_same(model(data[0]), small(data[0]), 1e-4)


def test_gains_that_do_not_hold_are_left():
    rng = np.random.default_rng(0)
    y, z = (tf.constant(rng.normal(size=(2, 3, 4)).astype("float32")) for _ in "yz")
    halves = np.stack([gains.sums(y, z), gains.sums(-y, z)])
    gain, offset = gains.gains(halves)
    assert gain.shape == offset.shape == (4,)
    y = 1.5 * z + 2
    halves = np.stack([gains.sums(y[:1], z[:1]), gains.sums(y[1:], z[1:])])
    gain, offset = gains.gains(halves)
    np.testing.assert_allclose(gain, 1.5, rtol=1e-4)
    np.testing.assert_allclose(offset, 2, rtol=1e-4)
