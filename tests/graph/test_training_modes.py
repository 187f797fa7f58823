"""Opened models in training: what drops by chance, and what is never in training."""

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
from tests.surgery.test_invariants import assert_same, random_plan
from tests.zoo import example, randomize


class DropPath(L.Layer):
    """Stochastic depth with TensorFlow's random numbers, as most code has it."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def mask(self, x):
        shape = (tf.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        return tf.floor(1 - self.rate + tf.random.uniform(shape, 0, 1))

    def call(self, x, training=None):
        return x / (1 - self.rate) * self.mask(x) if training else x


class Elements(DropPath):
    def call(self, x, training=None):
        return tf.nn.dropout(x, self.rate) if training else x


class Maps(DropPath):
    """Drops whole channels."""

    def mask(self, x):
        drawn = tf.random.uniform((tf.shape(x)[0], 1, 1, tf.shape(x)[-1]))
        return tf.cast(drawn > self.rate, x.dtype)


class Unscaled(DropPath):
    def call(self, x, training=None):
        return x * self.mask(x) if training else x


class Batch(DropPath):
    """Drops the whole batch or nothing."""

    def mask(self, x):
        return tf.cast(tf.random.uniform(()) > self.rate, x.dtype)


class Sometimes(DropPath):
    """Drops more than it says."""

    def mask(self, x):
        return super().mask(x) * super().mask(x)


def residual(layer):
    i = keras.Input((6, 6, 3))
    x = L.Conv2D(8, 1, name="conv")(i)
    x = L.Add()([x, layer(L.Conv2D(8, 3, padding="same")(x))])
    return randomize(keras.Model(i, L.Dense(4)(L.GlobalMaxPooling2D()(x))))


@pytest.mark.parametrize("rate", [0.02, 0.3])
@pytest.mark.parametrize(
    ("kind", "noise"),
    [(DropPath, (1, 1, 1)), (Elements, 3 * (None,)), (Maps, (1, 1, None))],
)
def test_what_no_graph_draws_again_becomes_dropout(kind, noise, rate, tmp_path):
    model = residual(kind(rate))
    found = opening(model, leaves=True)
    (dropout,) = (x for x in found.model.layers if isinstance(x, L.Dropout))
    assert dropout.rate == rate and not found.closed
    assert dropout.noise_shape == (None, *noise)
    assert any("draws" in note for note in found.notes)
    x = example(model)
    np.testing.assert_array_equal(
        run(model, x, False)[0], run(found.model, x, False)[0]
    )
    assert hh.trace(found.model).group("conv").frozen is None
    found.model.save(tmp_path / "model.keras")
    keras.models.load_model(tmp_path / "model.keras")


def test_what_could_drop_and_never_does_becomes_dropout():
    model = residual(DropPath(0.0))
    found = opening(model)
    assert [x.rate for x in found.model.layers if isinstance(x, L.Dropout)] == [0]
    assert_equal(model, found.model, example(model))


def test_two_layers_drop_independently():
    i = keras.Input((64,))
    model = keras.Model(i, [DropPath(0.5)(i), DropPath(0.5)(i)])
    one, other = opening(model).model(np.ones((64, 64), "float32"), training=True)
    assert not np.array_equal(one, other)


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


class MonteCarlo(Frozen):
    """Drops, or normalises by the batch, outside training too."""

    def call(self, x):
        x = ops.relu(self.inner(self.conv(x), training=True))
        return self.head(ops.mean(x, axis=(1, 2)))


OF_ITS_OWN = {
    "statistics": lambda: L.BatchNormalization(),
    "nested statistics": lambda: nested(L.Conv2D(6, 1), L.BatchNormalization()),
    "dropout": lambda: L.SpatialDropout2D(0.5),
    "nested dropout": lambda: nested(L.Conv2D(6, 1), L.Dropout(0.4)),
}


@pytest.mark.parametrize("kind", [Frozen, MonteCarlo])
@pytest.mark.parametrize("name", OF_ITS_OWN)
def test_layers_keep_a_training_of_their_own(name, kind, tmp_path):
    model = kind(OF_ITS_OWN[name]())
    x = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype("float32")
    model(x)
    found = opening(randomize(model))
    assert not found.closed and not found.notes
    opened = found.model
    assert len(opened.trainable_weights) == len(model.trainable_weights)
    assert_equal(model, opened, x)
    opened.save(tmp_path / "opened.keras")
    loaded = keras.models.load_model(tmp_path / "opened.keras")
    if kind is Frozen or "statistics" in name:
        assert_equal(opened, loaded, x)
    else:  # files of Keras do not hold how far a generator is
        assert not np.array_equal(loaded(x), loaded(x))
    assert all(not g.frozen for g in hh.trace(opened).groups if g.name == "conv")
    plan = random_plan(opened)
    small = hh.rebuild(opened, plan)
    assert small.count_params() < opened.count_params()
    if kind is Frozen or "statistics" in name:
        assert_same(hh.mask(opened, plan)(x), small(x))


def test_a_layer_that_trains_in_one_place_only_stays_closed():
    class Twice(Frozen):
        def call(self, x, training=None):
            return self.inner(super().call(x), training=training)

    model = Twice(L.Dropout(0.5))
    model(np.zeros((1, 6, 6, 3), "float32"))
    with pytest.raises(ModelError, match="training=False, and without"):
        opening(model, leaves=True)


def test_what_never_trains_beside_what_is_done_in_training_only():
    class Teacher(Frozen):
        """In training, compares with what never drops anything."""

        def call(self, x, training=None):
            x = self.inner(self.conv(x), training=False)
            if training:
                still = L.GlobalAveragePooling2D()(self.other(x, training=False))
                return self.head(ops.mean(x, axis=(1, 2)) - still)
            return self.head(ops.mean(x, axis=(1, 2)))

    model = Teacher(L.Dropout(0.5))
    model.other = nested(L.Dense(8), L.Dropout(0.5))
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
    model(x, training=True)
    found = opening(randomize(model))
    assert not found.closed
    assert_equal(model, found.model, x)
