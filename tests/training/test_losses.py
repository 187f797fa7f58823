"""Losses: what they expect of a network's outputs."""

import warnings

import keras
import pytest

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
