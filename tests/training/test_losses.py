"""Losses: what they expect of a network's outputs."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras.errors import HHError
from hh_keras.training.losses import losses

LOGITS = keras.losses.BinaryCrossentropy(from_logits=True)


def network(activation, *after):
    i = keras.Input((4,))
    x = keras.layers.Dense(3, activation=activation, name="head")(i)
    for layer in after:
        x = layer(x)
    return keras.Model(i, x)


@pytest.mark.parametrize(
    "loss, model",
    [
        ("sparse_categorical_crossentropy", network(None)),
        ("crossentropy", network("linear", keras.layers.Activation("linear"))),
        (keras.losses.CategoricalCrossentropy(), network(None, keras.layers.Flatten())),
        (keras.losses.binary_crossentropy, network(None)),
    ],
)
def test_logits_for_probabilities_are_told(loss, model):
    with pytest.warns(UserWarning, match="expects probabilities.*from_logits=True"):
        losses(loss, model)


@pytest.mark.parametrize(
    "loss, model",
    [
        ("sparse_categorical_crossentropy", network("softmax")),
        ("binary_crossentropy", network("sigmoid")),
        (LOGITS, network(None)),
        ("mse", network(None)),
        ("sparse_categorical_crossentropy", network(None, keras.layers.Softmax())),
        # Made into probabilities by hand: no layer tells.
        ("categorical_crossentropy", network(None, lambda x: keras.ops.softmax(x))),
    ],
)
def test_what_fits_is_not(loss, model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses(loss, model)


def test_ignored_classes_would_weigh_examples():
    image = keras.Input((5, 4))
    model = keras.Model(image, keras.layers.Dense(3)(image))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    with pytest.raises(HHError, match="ignore_class=-1.*sample weights of 0"):
        losses(loss, model)


def robust(labels, outputs):
    return keras.ops.mean(keras.ops.log(1 + keras.ops.square(labels - outputs)), -1)


@pytest.mark.parametrize("kind", ["int64", "float64", "float32"])
@pytest.mark.parametrize("shape", [(12,), (12, 1)])
@pytest.mark.parametrize(
    "loss",
    [
        "mae",
        "hinge",
        "ce",
        "binary_crossentropy",
        robust,
        keras.losses.log_cosh,
        keras.losses.Huber(),
        keras.losses.BinaryFocalCrossentropy(),
    ],
)
def test_a_loss_is_what_keras_makes_of_it(loss, shape, kind):
    """Labels without the outputs' last axis, and of other types, too."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, shape).astype(kind)
    images = rng.normal(size=(12, 4)).astype("float32")
    i = keras.Input((4,))
    model = keras.Model(i, keras.layers.Dense(1, activation="sigmoid")(i))
    model.compile("sgd", loss)
    found = losses([loss], model)(tf.constant(labels), [model(images)])["loss"]
    assert found.shape == (12,)
    told = model.evaluate(images, labels, batch_size=12, verbose=0)
    np.testing.assert_allclose(np.mean(found), told, rtol=1e-6)


@pytest.mark.parametrize("loss", ["mse", robust, keras.losses.MeanSquaredError()])
def test_a_masked_output_is_refused(loss):
    words = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(8, 4, mask_zero=True)(words)
    model = keras.Model(words, keras.layers.TimeDistributed(keras.layers.Dense(1))(x))
    seen = np.array([[1, 2, 0, 0, 0, 0], [1, 2, 3, 4, 5, 0]])
    with pytest.raises(HHError, match="is masked.*sample weights"):
        losses([loss], model)(tf.zeros((2, 6, 1)), [model(seen)])
