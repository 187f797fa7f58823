"""BatchNormalization by the fused operation trains as Keras' own does."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras.training.fused import fused_statistics
from hh_keras.training.layerwise import changed, for_recipe
from hh_keras.training.recipes import Recipe

RENORM = pytest.mark.skipif(
    "renorm" not in inspect.signature(keras.layers.BatchNormalization).parameters,
    reason="Keras 3.12 has no renormalisation",
)


def layers_of(**settings):
    found = []
    for _ in range(2):
        layer = keras.layers.BatchNormalization(momentum=0.8, **settings)
        layer.build((None, 5, 6, 7))
        rng = np.random.default_rng(0)
        layer.set_weights([rng.uniform(0.5, 2, w.shape) for w in layer.weights])
        found.append(layer)
    return found


def step(layer, x):
    """Outputs, slopes of inputs and weights, statistics behind a step."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(tf.cast(y, "float32") ** 3)
    weights = [w.value for w in layer.trainable_weights]
    return [y, *tape.gradient(loss, [x, *weights]), *layer.get_weights()]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scale": False},
        {"center": False, "epsilon": 1e-4},
        {"dtype": "mixed_bfloat16"},
        {"axis": 1},
        {"axis": 3},
        {"trainable": False},
        {"epsilon": 1e-7},
        pytest.param({"renorm": True}, marks=RENORM),
    ],
)
@pytest.mark.parametrize("shape", [(9, 5, 6, 7), (1, 5, 6, 7)])
def test_the_same_outputs_slopes_and_statistics(settings, shape):
    if settings.get("axis") == 1:
        shape = (shape[0], 7, 5, 6)
        settings = {"axis": 1}
    ours, its = (
        layers_of(**settings)
        if "axis" not in settings or settings["axis"] == 3
        else axis_first()
    )
    x = np.random.default_rng(1).normal(3, 2, shape).astype("float32")
    with changed(fused_statistics([ours])):
        got = step(ours, x)
    for mine, wanted in zip(got, step(its, x), strict=True):
        mine, wanted = (np.asarray(each, "float64") for each in (mine, wanted))
        scale = np.abs(wanted).max()
        rough = 0.01 if "dtype" in settings else 2e-5
        assert np.allclose(mine, wanted, atol=rough * scale)


def axis_first():
    found = []
    for _ in range(2):
        layer = keras.layers.BatchNormalization(axis=1)
        layer.build((None, 7, 5, 6))
        found.append(layer)
    return found


def test_layers_of_other_kinds_and_predictions_stay_as_they_are():
    class Own(keras.layers.BatchNormalization):
        def call(self, inputs, training=None, mask=None):
            return inputs

    assert not fused_statistics([Own(), keras.layers.Dense(2)])
    ours, its = layers_of()
    x = np.random.default_rng(2).normal(size=(3, 5, 6, 7)).astype("float32")
    with changed(fused_statistics([ours])):
        assert np.array_equal(ours(x, training=False), its(x, training=False))
    assert "call" not in vars(ours)


def test_a_layer_with_statistics_of_its_own_keeps_them():
    class Halved(keras.layers.BatchNormalization):
        def _moments(self, inputs, mask):
            mean, variance = super()._moments(inputs, mask)
            return mean, variance / 2

    assert fused_statistics([Halved()]) == []


def test_xla_keeps_keras_own_way():
    """Of a white plane, variances by E[x^2] - E[x]^2 are below 0."""
    model = keras.Sequential(
        [keras.Input((6, 6, 2)), keras.layers.BatchNormalization()]
    )
    assert len(for_recipe(model, Recipe())) == 1
    for compiled in (True, "auto"):
        assert for_recipe(model, Recipe(), compiled) == []
