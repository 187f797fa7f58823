"""Scores of channels that are normalised over: slopes of what scales mean there."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import hh_keras as hh
from tests.zoo import randomize


def length(x, s, keepdims=True):
    return np.sqrt(np.sum(s * x * x, -1, keepdims=keepdims))


def variance(x, s):
    mean = np.sum(s * x, -1, keepdims=True) / np.sum(s)
    return np.sum(s * (x - mean) ** 2, -1, keepdims=True) / np.sum(s)


def exps(x, s):
    return np.sum(s * np.exp(x), -1, keepdims=True)


# What a user writes, and the same where a channel counts s times in the statistic, or
# is multiplied by s where counting twice changes nothing.
NORMS = {
    "UnitNormalization": (L.UnitNormalization(), lambda x, s: x / length(x, s)),
    "normalize": (ops.normalize, lambda x, s: x / length(x, s)),
    "norm": (
        lambda x: x / ops.norm(x, axis=-1, keepdims=True),
        lambda x, s: x / length(x, s),
    ),
    "var": (
        lambda x: x * ops.var(x, axis=-1, keepdims=True),
        lambda x, s: x * variance(x, s),
    ),
    "std": (
        lambda x: x / ops.std(x, axis=-1, keepdims=True),
        lambda x, s: x / np.sqrt(variance(x, s)),
    ),
    "softmax": (L.Softmax(), lambda x, s: np.exp(x) / exps(x, s)),
    "of an activation": (
        L.Activation("softmax"),
        lambda x, s: np.exp(x) / exps(x, s),
    ),
    "log_softmax": (ops.log_softmax, lambda x, s: x - np.log(exps(x, s))),
    "logsumexp": (
        lambda x: x - ops.logsumexp(x, axis=-1, keepdims=True),
        lambda x, s: x - np.log(exps(x, s)),
    ),
    "max": (
        lambda x: x - ops.max(x, axis=-1, keepdims=True),
        lambda x, s: x - np.max(s * x, -1, keepdims=True),
    ),
    "min": (
        lambda x: x * ops.min(x, axis=-1, keepdims=True),
        lambda x, s: x * np.min(s * x, -1, keepdims=True),
    ),
    "RMSNormalization": (
        L.RMSNormalization(epsilon=1e-9),
        lambda x, s: x / np.sqrt(np.sum(s * x * x, -1, keepdims=True) / np.sum(s)),
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_slopes_are_those_of_channels_that_count_as_much_as_their_scales(name):
    own, meant = NORMS[name]
    image = keras.Input((4,))
    x = L.Dense(6, name="wide")(image)
    model = randomize(keras.Model(image, L.Dense(3, name="end")(own(x))))
    data = np.random.default_rng(1).normal(size=(1, 4)).astype("float32")
    labels = np.float32([[0.3, -0.2, 0.8]])
    for norm in model.layers:
        if isinstance(norm, L.RMSNormalization):
            norm.scale.assign(np.ones(6))
    kernel, bias, out, end = (
        np.float64(w)
        for layer in ("wide", "end")
        for w in model.get_layer(layer).get_weights()
    )

    def loss(s):
        y = (meant(data.astype("float64") @ kernel + bias, s) * s) @ out + end
        return np.sum((y - labels) ** 2)

    steps = 1e-5 * np.eye(6)
    slopes = [(loss(1 + e) - loss(1 - e)) / 2e-5 for e in steps]
    scores = hh.score_channels(
        model, [(data, labels)], lambda t, y: ops.sum((y - t) ** 2, -1), "gradient"
    )
    found = scores[hh.trace(model).group("wide").ids.start :][:6]
    np.testing.assert_allclose(found, np.abs(slopes), rtol=2e-3, atol=1e-4)
