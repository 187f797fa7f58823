"""A small network of one picture and two answers, and what it learns."""

import types

import keras
import numpy as np
import tensorflow as tf

from hh_keras.training import Task

L = keras.layers
KINDS = 3


def two_answers(kind="dict", width=8, normalised=False, seed=0):
    """Which kind of picture it is, and how bright: a dict of outputs, or a list."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((6, 6, 1), name="image")
    x = L.Conv2D(width, 3, name="conv")(L.Rescaling(1 / 255, name="scaled")(image))
    if normalised:
        x = L.BatchNormalization(momentum=0.8, name="norm")(x)
    x = L.Conv2D(width, 3, activation="relu", name="body")(L.ReLU(name="relu")(x))
    x = L.GlobalAveragePooling2D(name="pooled")(x)
    a = L.Dense(KINDS, activation="softmax", name="kind")(x)
    b = L.Dense(1, name="light")(x)
    return keras.Model(image, {"kind": a, "light": b} if kind == "dict" else [b, a])


def batches(kind="dict", weights=None, examples=37, batch_size=8, seed=0):
    """Pictures, labels by output, and sample weights: None, "one" or "each"."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, KINDS, examples).astype("int32")
    light = rng.uniform(0, 1, (examples, 1)).astype("float32")
    images = rng.uniform(0, 60, (examples, 6, 6, 1))
    images += 60 * kinds[:, None, None, None] + 30 * light[:, :, None, None]
    labels = {"kind": kinds, "light": light} if kind == "dict" else (light, kinds)
    parts = [images.astype("float32"), labels]
    one, other = rng.uniform(0, 2, (2, examples)).astype("float32")
    if weights == "one":
        parts.append(one)
    if weights == "each":
        both = {"kind": one, "light": other}
        parts.append(both if kind == "dict" else (other, one))
    dataset = tf.data.Dataset.from_tensor_slices(tuple(parts)).batch(batch_size)
    return types.SimpleNamespace(train=dataset, validation=dataset, search=dataset)


LOSSES = {"kind": "sparse_categorical_crossentropy", "light": "mse"}
WEIGHTS = {"light": 2.0}


def both(labels, outputs):
    """The same losses as one function of all outputs, which are a dict."""
    return {
        "kind": keras.losses.sparse_categorical_crossentropy(
            labels["kind"], outputs["kind"]
        ),
        "light": keras.losses.mean_squared_error(labels["light"], outputs["light"]),
    }


def task(**settings):
    return Task(**{"loss": LOSSES, "weights": WEIGHTS, **settings})
