""".tflite files of models in other precisions, and of what cannot be converted."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import hh_keras as hh
from hh_keras import export

POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")


def images(policy):
    """Convolutions, a nested model, operations, normalisations."""
    settings = {"dtype": keras.DTypePolicy(policy)}
    inner = keras.Sequential(
        [keras.Input((6, 6, 4)), layers.Conv2D(4, 1, **settings)], name="inner"
    )
    i = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="relu", **settings)(i)
    x = inner(layers.BatchNormalization(**settings)(x)) * 0.5
    x = layers.LayerNormalization(**settings)(ops.cast(x, "float16"))
    x = layers.GlobalAveragePooling2D(**settings)(x)
    head = layers.Dense(3, **settings)(x)
    return keras.Model(i, [head, layers.Softmax(dtype="float32")(head)])


def sequences(policy):
    settings = {"dtype": keras.DTypePolicy(policy)}
    i = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, **settings)(i)
    x = layers.MultiHeadAttention(2, 3, **settings)(x, x)
    return keras.Model(i, layers.Dense(2, **settings)(layers.Flatten(**settings)(x)))


@pytest.mark.parametrize("build", [images, sequences])
@pytest.mark.parametrize("policy", POLICIES)
def test_files_are_what_the_model_is_in_float32(policy, build, tmp_path):
    model, exact = build(policy), build("float32")
    draw = np.random.default_rng(0)
    weights = [0.5 * draw.normal(size=w.shape) ** 2 for w in exact.get_weights()]
    model.set_weights(weights)
    exact.set_weights([np.asarray(w, "float32") for w in model.get_weights()])
    dtypes = [layer.dtype_policy.name for layer in model.layers]

    path = export.tflite(model, tmp_path / "m.tflite")
    shape = (4, *model.inputs[0].shape[1:])
    kind = str(model.inputs[0].dtype)
    x = draw.integers(0, 9, shape) if kind == "int32" else draw.normal(size=shape)
    x = x.astype(kind)
    found, wanted = (tf.nest.flatten(export.predict(m, x)) for m in (path, exact))
    tolerance = 2e-3 if build is images else 1e-5  # `images` has a cast to float16
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
    assert [layer.dtype_policy.name for layer in model.layers] == dtypes


def test_inputs_of_half_precision(tmp_path):
    i = keras.Input((8, 8, 3), dtype="float16")
    policy = keras.DTypePolicy("mixed_float16")
    model = keras.Model(i, layers.Conv2D(4, 3, dtype=policy)(i))
    path = export.tflite(model, tmp_path / "m.tflite")
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float16")
    assert export.parity(model, path, x).relative < 0.01


@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_a_model_that_keras_quantised_is_named(mode, tmp_path):
    i = keras.Input((8,))
    model = keras.Model(i, layers.Dense(4, name="head")(layers.Dense(8)(i)))
    model.layers[-1].quantize(mode)
    with pytest.raises(hh.ModelError, match=f"'head'.*'{mode}_from_float32'"):
        export.tflite(model, tmp_path / "m.tflite")


def _of(function, shape=(4, 4, 3), dtype="float32"):
    i = keras.Input(shape, dtype=dtype)
    return keras.Model(i, layers.Lambda(function, name="part")(i))


REFUSED = {
    "Erfinv": lambda: _of(tf.math.erfinv),
    "FFT2D": lambda: _of(
        lambda x: tf.math.real(tf.signal.fft2d(tf.cast(x, "complex64")))
    ),
    "PyFunc": lambda: _of(
        lambda x: tf.ensure_shape(tf.numpy_function(np.sin, [x], tf.float32), x.shape)
    ),
    "RandomGamma": lambda: _of(lambda x: x + tf.random.gamma(tf.shape(x), 1.0)),
    "StringToHashBucketFast": lambda: keras.Model(
        *(lambda i: (i, layers.Hashing(9, name="part")(i)))(
            keras.Input((1,), dtype="string")
        )
    ),
    "Svd": lambda: _of(lambda x: tf.linalg.svd(x, compute_uv=False)),
}


@pytest.mark.parametrize("kind", sorted(REFUSED))
@pytest.mark.parametrize("quantize", ["float32", "float16"])
def test_what_cannot_be_converted_is_one_line(kind, quantize, tmp_path, capfd):
    with pytest.raises(hh.ModelError) as caught:
        export.tflite(REFUSED[kind](), tmp_path / "m.tflite", quantize=quantize)
    text, printed = str(caught.value), capfd.readouterr()
    assert kind in text and "'part'" in text and "m.tflite" in text
    assert len(text) < 350 and "\n" not in text and "loc(" not in text
    assert printed.out == printed.err == ""
    assert kind in str(caught.value.__cause__)  # the whole of it, for who wants it
    assert not (tmp_path / "m.tflite").exists()


def test_a_layer_that_fails_is_one_line(tmp_path, capfd):
    def broken(x):
        if not isinstance(x, keras.KerasTensor):
            tf.debugging.assert_type(x, tf.int32, message="pixels\nare whole")
        return x

    model = _of(lambda x: x)
    model.layers[1].function = broken
    for make in (
        lambda: export.tflite(model, tmp_path / "m.tflite"),
        lambda: export.saved_model(model, tmp_path, "m", warm_up=False),
    ):
        with pytest.raises(hh.ModelError) as caught:
            make()
        text = str(caught.value)
        assert "pixels are whole" in text and "\n" not in text and len(text) < 450
        assert "\x1b" not in text and "Arguments received" not in text
    assert capfd.readouterr().err == ""
