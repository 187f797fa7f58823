"""What runs step by step runs as the model does in inference."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

import hh_keras
from hh_keras import export
from hh_keras.graph.inference import infer
from hh_keras.graph.program import program
from tests.zoo import randomize


class Inside(L.Layer):
    """Has a layer that trains unless told otherwise, and passes nothing on."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flip = L.RandomContrast(0.9, seed=1)

    def call(self, x):
        return self.flip(x) * 1.0


def network(*front):
    x = image = keras.Input((10, 10, 3))
    for layer in front:
        x = layer(x)
    x = L.Conv2D(12, 3, activation="relu")(x)
    x = L.Conv2D(10, 3, activation="relu")(x)
    return keras.Model(image, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


@pytest.fixture
def images():
    noise = np.random.default_rng(0).normal(size=(96, 10, 10, 3))
    return np.float32(noise.cumsum(1).cumsum(2) / 4)


@pytest.mark.parametrize(
    "layer", [L.RandomContrast(0.9, seed=1), Inside(), L.Dropout(0.5), L.ReLU()]
)
def test_every_layer_rests(layer, images):
    image = keras.Input(images.shape[1:])
    model = keras.Model(image, layer(image))
    wanted = np.asarray(model(images, training=False))
    np.testing.assert_array_equal(np.asarray(infer(layer, (images,), {})), wanted)
    steps = program(model)
    tensors = dict(zip(steps.inputs, [images]))
    for step in steps.steps:
        step.run(tensors)
    np.testing.assert_array_equal(np.asarray(tensors[steps.outputs[0]]), wanted)


@pytest.mark.parametrize(
    "front", [(L.RandomFlip(seed=1), L.RandomContrast(0.9, seed=2)), (Inside(),)]
)
def test_augmentation_in_a_network_rests_while_it_is_measured(front, images):
    plain, augmented = randomize(network()), network(*front)
    floats = [v for v in augmented.weights if "float" in v.dtype]
    for mine, value in zip(floats, plain.get_weights(), strict=True):
        mine.assign(value)
    found = [
        hh_keras.shrink(
            model, budget=hh_keras.Budget(macs=0.6 * hh_keras.cost(model).macs),
            weights="inherit", calibration=images, round_to=1,
        )
        for model in (plain, augmented)
    ]  # fmt: skip
    one, two = (np.asarray(f.model(images, training=False)) for f in found)
    np.testing.assert_allclose(two, one, atol=1e-5 * np.ptp(one))
    assert found[1].kept.share == pytest.approx(found[0].kept.share, abs=1e-5)


def test_augmentation_rests_in_files(images, tmp_path):
    model = randomize(network(L.RandomFlip(seed=1), L.RandomContrast(0.9, seed=2)))
    path = export.tflite(model, tmp_path / "augmented.tflite")
    wanted = np.asarray(model(images[:1], training=False))
    lite = tf.lite.Interpreter(str(path))
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], images[:1])
    lite.invoke()
    got = lite.get_tensor(lite.get_output_details()[0]["index"])
    np.testing.assert_allclose(got, wanted, atol=1e-5 * np.ptp(wanted))
