"""Files of Keras 2 and tf_keras give the same outputs in Keras 3."""

import json
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import hh_keras as hh
from hh_keras import models
from hh_keras.models.sources import from_file
from tests.models import old_models
from tests.models.old_models import L, tf_keras

MODELS = [
    *old_models.SMALL,
    *(pytest.param(each, marks=pytest.mark.slow) for each in old_models.LARGE),
]
pytestmark = pytest.mark.filterwarnings("ignore")  # tf_keras: saving is legacy


def written(build, path, seed=0):
    """Saves a model of weights that are no zeros and ones; returns it."""
    tf_keras.utils.set_random_seed(seed)
    model = build()
    draw = np.random.default_rng(seed)
    model.set_weights(
        [
            w * draw.uniform(0.8, 1.2, w.shape) + 0.05 * draw.uniform(size=w.shape)
            if w.dtype.kind == "f"
            else w
            for w in model.get_weights()
        ]
    )
    model.save(path)
    return model


def same(old, new, seed=1):
    """Whether both give the same on random inputs."""
    draw = np.random.default_rng(seed)
    arrays = {x.name: draw.normal(size=(2, *x.shape[1:])) for x in old.inputs}
    arrays = {name: array.astype("float32") for name, array in arrays.items()}
    if not isinstance(old.input, dict):
        arrays = tf.nest.pack_sequence_as(old.input, list(arrays.values()))
    wanted, found = (tf.nest.flatten(m(arrays, training=False)) for m in (old, new))
    assert len(wanted) == len(found)
    for a, b in zip(wanted, found, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert np.isfinite(a).all() and np.ptp(a) > 0
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * max(1, np.abs(a).max()))


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("build", MODELS)
def test_the_outputs_are_the_same(build, suffix, tmp_path):
    path = tmp_path / f"old.{suffix}"
    old = written(build, path)
    new = from_file(path)
    assert isinstance(new, keras.Model)
    assert new.count_params() <= old.count_params()  # a Normalization's counter is gone
    same(old, new)


@pytest.mark.parametrize("build", [old_models.nested, old_models.sequential])
def test_what_is_read_is_an_ordinary_model(build, tmp_path):
    old = written(build, tmp_path / "old.h5")
    new = from_file(tmp_path / "old.h5")
    new.save(tmp_path / "new.keras")
    same(old, keras.saving.load_model(tmp_path / "new.keras"))
    with zipfile.ZipFile(tmp_path / "new.keras") as archive:
        assert b"hh_keras" not in archive.read("config.json")
    assert hh.trace(new).removable_share > 0.3


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_what_was_trained_is_trained(suffix, tmp_path):
    path = tmp_path / f"old.{suffix}"
    old = written(old_models.partly_frozen, path).get_layer("b")
    new = from_file(path).get_layer("b")
    assert not new.trainable
    for layer in old.layers[1:]:
        assert new.get_layer(layer.name).trainable == layer.trainable, layer.name


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_half_precision_stays(suffix, tmp_path):
    def mixed():
        policy = tf_keras.mixed_precision.Policy("mixed_float16")
        i = tf_keras.Input((8, 8, 3))
        x = L.Conv2D(4, 3, dtype=policy)(i)
        return tf_keras.Model(i, L.Dense(3)(L.Flatten()(x)))

    old = written(mixed, tmp_path / f"old.{suffix}")
    new = from_file(tmp_path / f"old.{suffix}")
    assert new.layers[1].dtype_policy.name == "mixed_float16"
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    assert np.abs(np.asarray(old(x)) - np.asarray(new(x))).max() < 0.02


def rewritten(path, edit, version="2.8.0"):
    """Changes the description in a `.h5` file, as another Keras would have it."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        edit(config)
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = version
    return path


def layer_of(config, kind):
    layers = config["config"]["layers"]
    return next(each["config"] for each in layers if each["class_name"] == kind)


def depthwise():
    i = tf_keras.Input((8, 8, 3))
    x = L.DepthwiseConv2D(3, name="dw")(i)
    return tf_keras.Model(i, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("extra", [{}, {"groups": 1}, {"groups": 1, "filters": None}])
def test_groups_of_depthwise_convolutions(extra, tmp_path):
    """Keras 2.4 to 2.15 wrote `groups`, which Keras 3 refuses; those before did not."""
    old = written(depthwise, tmp_path / "old.h5")

    def edit(config):
        found = layer_of(config, "DepthwiseConv2D")
        found.pop("groups", None)
        found.update(extra)

    same(old, from_file(rewritten(tmp_path / "old.h5", edit)))


@pytest.mark.parametrize(
    "extra",
    [
        {"groups": 2},
        {"unheard_of": "x"},
        {"activation": "unheard_of"},
        {"activation": {"class_name": "function", "config": "unheard_of"}},
    ],
)
def test_what_cannot_be_meant_is_named(extra, tmp_path):
    written(depthwise, tmp_path / "old.h5")
    path = rewritten(
        tmp_path / "old.h5",
        lambda config: layer_of(config, "DepthwiseConv2D").update(extra),
    )
    with pytest.raises(hh.ModelError) as caught:
        from_file(path)
    text = str(caught.value)
    assert "old.h5" in text and "\n" not in text and len(text) < 400
    assert "dw" in text and ("groups" in text or "unheard_of" in text)


def test_an_unknown_class_is_named(tmp_path):
    written(depthwise, tmp_path / "old.h5")

    def edit(config):
        config["config"]["layers"][1]["class_name"] = "LocallyConnected2D"

    with pytest.raises(hh.ModelError, match="'dw' is of the class LocallyConnected2D"):
        from_file(rewritten(tmp_path / "old.h5", edit))


def test_an_unknown_operation_is_named(tmp_path):
    def build():
        i = tf_keras.Input((8, 8, 3))
        return tf_keras.Model(i, tf.math.bessel_i0(L.Conv2D(2, 3)(i)))

    written(build, tmp_path / "old.h5")
    with pytest.raises(hh.ModelError, match="tf.math.bessel_i0"):
        from_file(tmp_path / "old.h5")


def test_the_first_keras_2_wrote_otherwise(tmp_path):
    """Sequential as a list, `Model`, no version, a GRU without `reset_after`."""
    old = written(old_models.sequential, tmp_path / "old.h5")
    path = rewritten(
        tmp_path / "old.h5", lambda c: c.update(config=c["config"]["layers"])
    )
    same(old, from_file(path))
    old = written(old_models.shared, tmp_path / "two.h5")
    path = rewritten(
        tmp_path / "two.h5", lambda config: config.update(class_name="Model")
    )
    with h5py.File(path, "r+") as file:
        del file.attrs["keras_version"]
    same(old, from_file(path))

    def recurrent():
        i = tf_keras.Input((5, 3))
        return tf_keras.Model(i, L.GRU(4, reset_after=False)(i))

    old = written(recurrent, tmp_path / "three.h5")
    path = rewritten(
        tmp_path / "three.h5", lambda config: layer_of(config, "GRU").pop("reset_after")
    )
    same(old, from_file(path))


def test_layers_of_two_nested_models(tmp_path):
    """Such files hold the weights twice and do not tell that they are one layer."""

    def build():
        conv = L.Conv2D(3, 3, padding="same", name="both")
        i, j, k = (tf_keras.Input((8, 8, 3)) for _ in range(3))
        one = tf_keras.Model(i, L.ReLU()(conv(i)), name="one")
        two = tf_keras.Model(j, conv(j), name="two")
        return tf_keras.Model(k, two(one(k)))

    old = written(build, tmp_path / "old.h5")
    same(old, from_file(tmp_path / "old.h5"))


def test_an_ellipsis(tmp_path):
    def build():
        i = tf_keras.Input((8, 8, 3))
        return tf_keras.Model(i, L.Conv2D(4, 3)(i)[..., 1:3])

    old = written(build, tmp_path / "old.h5")
    same(old, from_file(tmp_path / "old.h5"))


def of_keras_3():
    """What Keras' own loader refuses, or mistakes: operations, lists of axes."""
    i = keras.Input((8, 8, 3))
    x = keras.layers.DepthwiseConv2D(3)(keras.layers.LayerNormalization([1, 2])(i))
    inner = keras.Model(i, keras.layers.Softmax([1, 2])(x), name="inner")
    j = keras.Input((8, 8, 3))
    y = keras.ops.relu(inner(j)) + 1.0
    y = keras.layers.Add()([y, y * 2.0])[:, 1:]
    tail = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    return keras.Model(j, tail(keras.ops.mean(y, axis=1)))


def test_keras_3_h5_files(tmp_path):
    model = of_keras_3()
    model.get_layer("inner").layers[1].trainable = False
    model.save(tmp_path / "new.h5")
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    for found in (
        from_file(tmp_path / "new.h5"),
        models.build(str(tmp_path / "new.h5"), (8, 8, 3)),
    ):
        np.testing.assert_allclose(found(images), model(images), atol=1e-6)
        assert not found.get_layer("inner").layers[1].trainable


@pytest.mark.parametrize("name", ["h5.keras", "h5.bin", "keras.h5", "keras.model"])
def test_what_is_inside_counts(name, tmp_path):
    """TensorFlow before 2.12 wrote HDF5 into `.keras` files."""
    old = written(old_models.nested, tmp_path / f"old.{name.partition('.')[0]}")
    shutil.move(tmp_path / f"old.{name.partition('.')[0]}", tmp_path / name)
    same(old, from_file(tmp_path / name))
    same(old, models.build(str(tmp_path / name), (8, 8, 3)))
