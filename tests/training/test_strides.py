"""1 x 1 convolutions with strides and few channels, by which oneDNN loses memory."""

import os
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras.training import Recipe
from hh_keras.training.layerwise import changed
from hh_keras.training.strides import around_fault
from tests.classifiers import train

L = keras.layers


class Halved(L.Conv2D):
    def call(self, inputs):
        return self.convolution_op(inputs, self.kernel / 2)


class Own(L.Conv2D):
    def convolution_op(self, inputs, kernel):
        return keras.ops.conv(inputs, kernel, self.strides) / 2


KINDS = {
    "1d": (L.Conv1D(5, 1, 2), (9, 3)),
    "causal": (L.Conv1D(5, 1, 2, padding="causal", activation="relu"), (8, 3)),
    "2d": (L.Conv2D(5, 1, 2, activation="tanh"), (10, 7, 11)),
    "same": (L.Conv2D(6, 1, 3, padding="same", use_bias=False), (8, 7, 15)),
    "one axis": (L.Conv2D(5, 1, (2, 1)), (5, 5, 7)),
    "groups": (L.Conv2D(4, 1, 2, groups=2), (6, 6, 6)),
    "3d": (L.Conv3D(5, 1, (1, 2, 3)), (4, 5, 6, 3)),
    "half": (Halved(5, 1, 2, use_bias=False), (6, 5, 3)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_way_computes_the_same(kind):
    layer, shape = KINDS[kind]
    images = tf.random.stateless_normal((3, *shape), (0, 1))
    layer.build(images.shape)
    expected = outputs_and_slopes(layer, layer.strides, images)
    changes = around_fault([layer])
    before = set(vars(layer))
    with changed(changes) as plain:
        found = outputs_and_slopes(layer, None, images)
        with changed(plain):
            assert set(vars(layer)) == before
        assert "convolution_op" in vars(layer)
    assert set(vars(layer)) == before
    for mine, its in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-5)


def outputs_and_slopes(layer, strides, images):
    """Of a loss; with strides given, by a layer without any behind a slice."""
    weights = layer.trainable_weights
    read = tuple(slice(None, None, each) for each in strides or ())
    if strides:
        config = {**layer.get_config(), "strides": 1}
        plain = type(layer).from_config(config)
        plain.build(images.shape)
        plain.set_weights(layer.get_weights())
        layer, weights = plain, plain.trainable_weights
    with tf.GradientTape() as tape:
        tape.watch(images)
        y = layer(images[(slice(None), *read)])
        loss = tf.reduce_sum(y * tf.random.stateless_normal(y.shape, (2, 3)))
    slopes = tape.gradient(loss, [images, *(w.value for w in weights)])
    return [np.asarray(each) for each in (y, *slopes)]


def test_other_layers_stay_as_they_are():
    patched = L.Conv2D(4, 1, 2)
    patched.convolution_op = lambda inputs, kernel: inputs[..., :4]
    layers = {
        3: [L.Conv2D(4, 3, 2), L.Conv2D(4, 1), Own(4, 1, 2), patched, L.Dense(4)],
        16: [L.Conv2D(4, 1, 2)],
    }
    for channels, each in layers.items():
        for layer in each:
            layer.build((None, 8, 8, channels))
        assert not around_fault(each)
    assert not around_fault([L.Conv2D(4, 1, 2)])  # has no kernel yet


def network():
    """A block with as few channels as may be left of one."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((56, 56, 2))
    start = L.Conv2D(7, 3, padding="same", activation="relu")(inputs)
    x = L.Conv2D(21, 3, 2, padding="same", use_bias=False)(start)
    x = L.Add()([L.BatchNormalization()(x), L.Conv2D(21, 1, 2)(start)])
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(L.ReLU()(x))))


def trained(path):
    """Trains with batches of 13 and 5, and writes the weights."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(18, 56, 56, 2)).astype("float32")
    labels = rng.integers(0, 3, 18).astype("int32")
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(13)
    data = types.SimpleNamespace(train=batches, validation=batches)
    model = network()
    train(model, data, Recipe(epochs=2, batch_size=13, learning_rate=0.05))
    np.savez(path, *model.get_weights())


@pytest.mark.slow
def test_training_survives_and_learns_what_it_should(tmp_path):
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.test_strides", str(tmp_path / on)],
            env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": on},
            stderr=subprocess.PIPE,
        )
        for on in "01"
    ]
    for run in runs:
        _, said = run.communicate()
        assert run.returncode == 0, said.decode()[-2000:]
    with np.load(tmp_path / "0.npz") as plain, np.load(tmp_path / "1.npz") as found:
        start = network().get_weights()
        for name, first in zip(plain, start, strict=True):
            np.testing.assert_allclose(found[name], plain[name], atol=1e-4)
            assert not np.allclose(found[name], first, atol=1e-3)


if __name__ == "__main__":
    trained(sys.argv[1])
