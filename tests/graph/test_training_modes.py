"""Opened models in training: what drops by hand, and what is never in training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

import hh_keras as hh
from hh_keras.errors import ModelError
from hh_keras.graph.opening.inline import opening
from tests.graph.test_inline import assert_equal, run
from tests.zoo import example, randomize


class DropPath(L.Layer):
    """Stochastic depth, as Keras' examples have it."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seeds = rate, keras.random.SeedGenerator(7)

    def mask(self, x):
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        return ops.floor(1 - self.rate + keras.random.uniform(shape, seed=self.seeds))

    def call(self, x, training=None):
        return x / (1 - self.rate) * self.mask(x) if training else x


class ByTensorFlow(DropPath):
    def mask(self, x):
        shape = (tf.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        return tf.floor(1 - self.rate + tf.random.uniform(shape, 0, 1))


class Maps(DropPath):
    """Drops whole channels."""

    def mask(self, x):
        shape = (ops.shape(x)[0], 1, 1, ops.shape(x)[-1])
        return ops.cast(keras.random.uniform(shape) > self.rate, x.dtype)


class Unscaled(DropPath):
    def call(self, x, training=None):
        return x * self.mask(x) if training else x


class Batch(DropPath):
    """Drops the whole batch or nothing."""

    def mask(self, x):
        return ops.cast(keras.random.uniform(()) > self.rate, x.dtype)


class Sometimes(DropPath):
    """Drops more than it says."""

    def mask(self, x):
        return super().mask(x) * super().mask(x)


def residual(layer):
    i = keras.Input((6, 6, 3))
    x = L.Conv2D(8, 1, name="conv")(i)
    x = L.Add()([x, layer(L.Conv2D(8, 3, padding="same")(x))])
    return randomize(keras.Model(i, L.Dense(4)(L.GlobalMaxPooling2D()(x))))


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("kind", [DropPath, ByTensorFlow, Maps])
def test_what_drops_by_hand_becomes_dropout(kind, rate, tmp_path):
    model = residual(kind(rate))
    found = opening(model, leaves=True)
    (dropout,) = (x for x in found.model.layers if isinstance(x, L.Dropout))
    assert dropout.rate == rate and not found.closed
    channels = None if kind is Maps and rate else 1
    assert rate == 0 or dropout.noise_shape == (None, 1, 1, channels)
    assert any("draws" in note for note in found.notes)
    x = example(model)
    np.testing.assert_array_equal(
        run(model, x, False)[0], run(found.model, x, False)[0]
    )
    assert hh.trace(found.model).group("conv").frozen is None
    found.model.save(tmp_path / "model.keras")
    keras.models.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize("kind", [Unscaled, Batch, Sometimes])
def test_what_drops_otherwise_is_left_alone(kind):
    model = residual(kind(0.3))
    found = opening(model, leaves=True)
    assert not any(isinstance(x, L.Dropout) for x in found.model.layers)
    assert [k for _, k, _ in found.closed] == [kind.__name__]


def test_the_layer_that_drops_is_as_before():
    model = residual(DropPath(0.1))
    assert not opening(model, leaves=True).closed
    names = [x.name for x in model.layers if isinstance(x, DropPath)]
    (layer,) = (model.get_layer(name) for name in names)
    assert "call" not in vars(layer)


class Frozen(keras.Model):
    """Calls what it holds as if it never trained."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.conv, self.inner, self.head = L.Conv2D(8, 3), inner, L.Dense(3)

    def call(self, x, training=None):
        x = self.inner(self.conv(x), training=False)
        return self.head(ops.mean(x, axis=(1, 2)), training=False)


def nested(*layers):
    i = x = keras.Input((None, None, 8))
    for layer in layers:
        x = layer(x)
    return keras.Model(i, x)


def attention():
    i = keras.Input((4, 4, 8))
    x = L.Reshape((16, 8))(i)
    x = L.MultiHeadAttention(2, 4, dropout=0.4)(x, x)
    return keras.Model(i, L.Reshape((4, 4, 8))(x))


def still(layer):
    layer.trainable = False
    return layer


STILL = {
    "dropout": lambda: L.Dropout(0.5),
    "noise": lambda: L.GaussianNoise(0.5),
    "nested": lambda: nested(L.Conv2D(8, 1), L.SpatialDropout2D(0.5), L.Dense(8)),
    "attention": attention,
    "class": lambda: DropPath(0.5),
    "normalised": lambda: nested(still(L.BatchNormalization()), L.Dropout(0.5)),
}


@pytest.mark.parametrize("name", STILL)
def test_what_never_trains_is_opened_as_it_is_outside_training(name):
    model = Frozen(STILL[name]())
    model(np.zeros((1, 6, 6, 3), "float32"))
    found = opening(randomize(model), leaves=True)
    assert not found.closed
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
    assert_equal(model, found.model, x)


def test_statistics_of_a_layer_that_trains_cannot_be_kept_still():
    model = Frozen(L.BatchNormalization())
    model(np.zeros((1, 6, 6, 3), "float32"))
    with pytest.raises(ModelError, match="with training=False"):
        opening(model, leaves=True)


def test_a_layer_that_trains_in_one_place_only_stays_closed():
    class Twice(Frozen):
        def call(self, x, training=None):
            return self.inner(super().call(x), training=training)

    model = Twice(L.Dropout(0.5))
    model(np.zeros((1, 6, 6, 3), "float32"))
    with pytest.raises(ModelError, match="training=False, and without"):
        opening(model, leaves=True)
