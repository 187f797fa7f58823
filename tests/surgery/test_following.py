"""Kernels that follow the small network leave less of an error than without."""

import keras
import numpy as np
import pytest
from keras import layers as L

import hh_keras as hh
from hh_keras.surgery.following import follow
from hh_keras.surgery.least_squares import refit
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
    small = compensated(model, plan, data)
    return follow(model, small, channels, plan.keep_in(channels), data, **more)


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
    plan = hh.select_channels(channels, scores, budget)
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
    assert after < 0.8 * alone
    assert after < few  # of which two batches fit


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
