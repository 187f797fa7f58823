"""Networks carried to tf_keras, rounded as int8 files round, and trained so."""

import os
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import hh_keras as hh
from hh_keras import data, export
from hh_keras.errors import HHError, ModelError
from hh_keras.export.quantizing import QuantizationAware, legacy
from hh_keras.export.quantizing.rounding import ranges, rounding
from hh_keras.models import build
from hh_keras.tasks.classification.quantization import quantization_aware
from hh_keras.training import Recipe
from tests.zoo import ZOO, example, randomize
from tests.zoo_attention import ATTENTION
from tests.zoo_users import USERS

# The layer that the message must name.
REFUSED = {
    "flatten_head": "activation 'elu'",
    "group_norm": "GroupNormalization",
    "layer_norm_mlp": "LayerNormalization",
    "one_dimension": "Embedding",
    "three_dimensions": "Conv3D",
    "products": "Matmul",
    "unknown_layers": "Lambda",
    "mixed_precision": "float16",
    "channels_first": "channels come first",
}
CONVERTED = (
    "residual", "dense_concat", "squeeze_excite", "shared_layer", "transposed_conv",
    "depthwise", "grouped_wide", "split_and_slice", "multi_output_dict",
)  # fmt: skip


def rounded(model, images):
    """What `quantization_aware` makes before it trains."""
    carried = export.carry(model, images)
    batch = [np.asarray(a) for a in tf.nest.flatten(images)]
    learnt, _, _ = rounding(carried, ranges(carried, [batch]))
    return QuantizationAware(learnt, None, carried.difference, [])


def listed(outputs):
    return outputs if isinstance(outputs, list) else [outputs]


@pytest.mark.parametrize("name", sorted(set(ZOO) - {*REFUSED, *USERS, *ATTENTION}))
def test_carried_networks_say_the_same(name):
    model = randomize(ZOO[name]())
    carried = export.carry(model, example(model))
    assert carried.difference < 1e-5
    shapes = [tuple(t.shape) for t in carried.model.outputs]
    assert shapes == [tuple(t.shape) for t in model.outputs]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [*USERS, *ATTENTION])
def test_networks_of_users_say_the_same_or_are_refused_by_name(name):
    model = randomize(ZOO[name]())
    try:
        assert export.carry(model, example(model)).difference < 1e-5
    except ModelError as error:
        assert "layer '" in str(error) and "representative images" in str(error)


@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_cannot_are_named_with_the_remedy(name):
    with pytest.raises(ModelError, match=REFUSED[name]) as error:
        export.carry(ZOO[name]())
    assert "representative images" in str(error.value)
    assert str(error.value).startswith("layer '")


@pytest.mark.parametrize("name", CONVERTED)
def test_the_file_rounds_as_the_training_does(name, tmp_path):
    """Within two steps of 255 of the output: kernels round a tie up or down."""
    model = randomize(ZOO[name]())
    images = example(model, batch=8)
    learnt = rounded(model, images)
    path = export.tflite(learnt, tmp_path / "m.tflite", quantize="int8")
    simulated, said, wanted = (
        listed(export.predict(each, images)) for each in (learnt.model, path, model)
    )
    for a, b, c in zip(simulated, said, wanted, strict=True):
        assert np.abs(a - b).max() <= 2.5 / 255 * np.ptp(c)
        assert 0 < np.abs(a - c).max() <= 0.05 * np.ptp(c)


NETWORKS = ("resnet20", "mobilenetv2_small", "vgg11_small", "densenet40")


@pytest.mark.parametrize("name", NETWORKS)
def test_shrunk_networks_with_odd_counts(name):
    model = randomize(build(name, (16, 16, 3), 10))
    macs = 0.6 * hh.cost(model).macs
    small = hh.shrink(
        model, budget=hh.Budget(macs=macs), width=1, criterion="weight_norm",
        weights="inherit", round_to=1,
    ).model  # fmt: skip
    assert any(w.shape[-1] % 2 for w in small.weights if len(w.shape) == 4)
    assert export.carry(small).difference < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "MobileNetV3Small", "EfficientNetB0"])
def test_keras_applications(name):
    make = getattr(keras.applications, name)
    model = randomize(make(weights=None, input_shape=(32, 32, 3), classes=10))
    assert export.carry(model).difference < 1e-5


def classifier():
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((28, 28, 1), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, -1, name="scaled")(x)
    x = keras.layers.Conv2D(7, 3, strides=3, use_bias=False)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Conv2D(9, 3, strides=2, activation="relu")(x)
    return keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


@pytest.fixture(scope="module")
def images():
    return data.load("embedded", limit=300, batch_size=50)


def test_training_to_an_int8_file(images, tmp_path):
    model = classifier()
    before = [v.numpy() for v in model.weights]
    recipe, told = Recipe(learning_rate=5.0, batch_size=50), []
    learnt = quantization_aware(
        model, images, recipe, epochs=4, calibration_images=100, tell=told.append
    )
    assert told == learnt.history and [r["epoch"] for r in told] == [1, 2, 3, 4]
    assert told[-1]["loss"] < 0.9 * told[0]["loss"]
    assert learnt.difference < 1e-5 and learnt.logits is True
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    path = export.tflite(
        learnt, tmp_path / "m.tflite", quantize="int8", integer_io=True,
        labels=images.class_names,
    )  # fmt: skip
    real = np.concatenate([x for x, _ in images.validation]).astype("float32")
    found = export.agreement(
        [export.predict(learnt.model, real)], [export.predict(path, real)]
    )
    assert found.relative < 3 / 255 and found.top1_agreement > 0.97
    # The rescaling is no part of the training.
    kernels = learnt.model.get_layer("int8_scaled").get_weights()
    (scale,) = [w for w in kernels if w.ndim == 4]
    assert scale.item() == np.float32(1 / 127.5)


def test_probabilities_are_taught_as_logits(images):
    model = classifier()
    model = keras.Model(model.inputs, keras.layers.Softmax()(model.outputs[0]))
    learnt = quantization_aware(model, images, epochs=2, learning_rate=0.05)
    assert learnt.logits is False
    assert learnt.history[1]["loss"] < 0.95 * learnt.history[0]["loss"]
    first, _ = next(iter(images.validation))
    sums = export.predict(learnt.model, np.asarray(first, "float32")).sum(-1)
    np.testing.assert_allclose(sums, 1, atol=0.05)


def test_the_same_seed_learns_the_same(images):
    weights = []
    for _ in range(2):
        learnt = quantization_aware(classifier(), images, epochs=1)
        weights.append(learnt.model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_keras_3_stays_what_it_is(images):
    legacy.modules()
    assert "TF_USE_LEGACY_KERAS" not in os.environ
    assert tf.keras.Model is keras.Model


def test_mistakes_are_explained(images, tmp_path):
    with pytest.raises(HHError, match="epochs=-1"):
        quantization_aware(classifier(), images, epochs=-1)
    with pytest.raises(HHError, match="qat_learning_rate"):
        quantization_aware(classifier(), images, learning_rate=1e30)
    learnt = quantization_aware(classifier(), images, epochs=0)
    with pytest.raises(ModelError, match="int8"):
        export.tflite(learnt, tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


def test_without_the_optional_package(monkeypatch):
    legacy.modules.cache_clear()
    name = "tensorflow_model_optimization.quantization"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(HHError, match=r"pip install 'hh_keras\[quantize\]'"):
        export.carry(classifier())
    monkeypatch.undo()
    legacy.modules.cache_clear()
    assert export.carry(classifier()).difference < 1e-5
