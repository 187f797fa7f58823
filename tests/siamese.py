"""A small network of two images, and what it learns: where in one the other is."""

import functools
import types

import keras
import numpy as np
import tensorflow as tf

from hh_keras.goal import Goal
from hh_keras.training import Task
from hh_keras.training import train as train_on

L = keras.layers
PLACES = 9  # of 3 x 3


def siamese(width=8, nested=False, normalised=False, seed=0, exemplar=7):
    """Shared convolutions of exemplar and search image, and their products."""
    keras.utils.set_random_seed(seed)
    layers = [L.Rescaling(1 / 255, name="scaled")]
    for k in range(2):
        layers.append(L.Conv2D(width, 3, strides=2, name=f"conv{k}"))
        if normalised:
            layers.append(L.BatchNormalization(momentum=0.8, name=f"norm{k}"))
        layers.append(L.ReLU(name=f"relu{k}"))
    if nested:
        layers = [keras.Sequential([L.Input((None, None, 3)), *layers], name="body")]
    inputs = (
        keras.Input((exemplar, exemplar, 3), name="exemplar"),
        keras.Input((15, 15, 3), name="search"),
    )
    kernel, features = inputs
    for layer in layers:
        kernel, features = layer(kernel), layer(features)
    kernel = L.GlobalAveragePooling2D(name="pooled")(kernel)
    kernel = L.Dense(width, name="turned")(L.Reshape((1, -1), name="row")(kernel))
    features = L.Reshape((PLACES, width), name="rows")(features)
    scores = L.Flatten(name="flat")(L.Dot(2, name="dot")([kernel, features]))
    outputs = L.Rescaling(4.0, name="scores")(scores)
    return keras.Model(list(inputs), outputs, name="siamese")


def pairs(examples=37, batch_size=8):
    """((exemplars, searches), places): the exemplar is pasted at one of the places."""
    rng = np.random.default_rng(0)
    exemplars = rng.uniform(0, 255, (examples, 7, 7, 3)).astype("float32")
    searches = rng.uniform(0, 80, (examples, 15, 15, 3)).astype("float32")
    places = rng.integers(0, PLACES, examples).astype("int32")
    for image, small, place in zip(searches, exemplars, places):
        y, x = divmod(place, 3)
        image[4 * y : 4 * y + 7, 4 * x : 4 * x + 7] = small
    dataset = tf.data.Dataset.from_tensor_slices(((exemplars, searches), places))
    dataset = dataset.batch(batch_size)
    return types.SimpleNamespace(
        train=dataset,
        validation=dataset,
        search=dataset,
        image_shape=((7, 7, 3), (15, 15, 3)),
    )


def loss(labels, scores):
    return keras.losses.sparse_categorical_crossentropy(labels, scores, True)


def found(labels, scores):
    return keras.metrics.sparse_categorical_accuracy(labels, scores)


def evaluate(model, dataset):
    labels = np.concatenate([y for _, y in dataset])
    scores = np.concatenate([model(list(x), training=False) for x, _ in dataset])
    return {
        "loss": float(np.mean(loss(labels, scores))),
        "accuracy": float(np.mean(found(labels, scores))),
    }


def written(*values):
    return " ".join(map(str, values))


TASK = Task(
    name="find",
    noun="network that finds",
    loss=lambda model, label_smoothing=0.0: loss,
    measures={"accuracy": found},
    goal=Goal("accuracy", "accuracy", *[written] * 5),
    evaluate=evaluate,
    check=lambda model, data: None,
    distills=("none", "kd", "sp", "match"),
)

train = functools.partial(train_on, task=TASK)


def one_image():
    return keras.Sequential([L.Input((7, 7, 3)), L.Flatten(), L.Dense(PLACES)])
