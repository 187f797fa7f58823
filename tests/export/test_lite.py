"""Quantised files: what they hold, what they compute, what they refuse."""

import hashlib
import json

import ai_edge_litert.interpreter as litert
import keras
import numpy as np
import pytest

from hh_keras import export
from hh_keras.errors import ModelError

LABELS = ("cat", "dog", "owl", "pig")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    x = keras.layers.Conv2D(24, 3, activation="relu")(x)
    x = keras.layers.Conv2D(48, 3, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(4)(x))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (16, 8, 8, 3)).astype("float32")


KINDS = [
    (q, io) for q in export.QUANTIZE for io in (False, True) if q == "int8" or not io
]
# Shares of the spread: half a step of float16 and of int8, added up over the layers.
ERRORS = {"float32": 1e-5, "float16": 2e-3, "dynamic": 0.1, "int8": 0.1}


@pytest.mark.parametrize(("quantize", "integer_io"), KINDS)
def test_files_say_what_the_model_says(quantize, integer_io, model, images, tmp_path):
    path = export.tflite(
        model, tmp_path / "m.tflite", quantize=quantize, representative=images,
        integer_io=integer_io, labels=LABELS,
    )  # fmt: skip
    found = export.parity(model, path, images)
    assert found.relative < ERRORS[quantize]
    assert (found.max_abs > 0) or quantize == "float32"
    described = json.loads((tmp_path / "m.json").read_text())
    assert described["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert described["quantize"] == quantize and described["file"] == "m.tflite"
    assert described["labels"] == list(LABELS)
    assert described["output"]["logits"] is True
    assert described["input"]["channels"] == "RGB"
    assert described["input"]["shape"] == [1, 8, 8, 3]
    for tensor in (described["input"], described["output"]):
        assert tensor["dtype"] == ("int8" if integer_io else "float32")
        assert ("quantization" in tensor) == integer_io
    assert len(list(tmp_path.iterdir())) == 2


def test_an_app_can_go_by_the_sidecar_alone(model, images, tmp_path):
    path = export.tflite(
        model, tmp_path / "m.tflite", quantize="int8", representative=images,
        integer_io=True,
    )  # fmt: skip
    described = json.loads(path.with_suffix(".json").read_text())
    given, put = (described[key]["quantization"] for key in ("input", "output"))
    interpreter = litert.Interpreter(str(path))
    interpreter.allocate_tensors()
    pixels = np.round(images[:1] / given["scale"]) + given["zero_point"]
    pixels = np.clip(pixels, -128, 127).astype("int8")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    out = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    real = put["scale"] * (out.astype("float32") - put["zero_point"])
    np.testing.assert_allclose(real, export.predict(path, images[:1]), rtol=1e-6)


@pytest.mark.parametrize("read", [export.told, export.tiles_of])
def test_a_damaged_sidecar_is_not_passed_over(model, tmp_path, read):
    path = export.tflite(model, tmp_path / "m.tflite")
    beside = path.with_suffix(".json")
    beside.write_text(beside.read_text()[:-3])
    with pytest.raises(ModelError, match=r"m\.json, .* is damaged"):
        read(path)
    for other in ("[]", "{}"):
        beside.write_text(other)
        assert read(path) is None
    beside.unlink()
    assert read(path) is None and read(tmp_path) is None


def test_integer_files_hold_no_float(model, images, tmp_path):
    path = export.tflite(
        model, tmp_path / "m.tflite", quantize="int8", representative=images,
        integer_io=True,
    )  # fmt: skip
    interpreter = litert.Interpreter(str(path))
    kinds = {np.dtype(d["dtype"]).name for d in interpreter.get_tensor_details()}
    assert kinds <= {"int8", "int32", "int64"}


def test_sizes_shrink(model, images, tmp_path):
    sizes = [
        export.tflite(
            model, tmp_path / f"{q}.tflite", quantize=q, representative=images
        ).stat().st_size
        for q in ("float32", "float16", "dynamic")
    ]  # fmt: skip
    assert sizes == sorted(sizes, reverse=True) and sizes[2] < 0.5 * sizes[0]


def test_batches_are_filled_up(model, images, tmp_path):
    path = export.tflite(model, tmp_path / "m.tflite", batch=3)
    assert export.parity(model, path, images[:7]).relative < 1e-5


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"quantize": "int4"}, "int4"),
        ({"quantize": "int8"}, "training set"),
        ({"quantize": "int8", "representative": np.zeros((4, 8, 7, 3))}, "8, 7, 3"),
        ({"integer_io": True}, "integer_io"),
        ({"labels": ("cat", "dog")}, "2 labels"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(arguments, names, model, tmp_path):
    with pytest.raises(ModelError, match=names):
        export.tflite(model, tmp_path / "m.tflite", **arguments)
    assert not list(tmp_path.iterdir())


def test_probabilities_are_no_logits(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    path = export.tflite(model, tmp_path / "m.tflite")
    described = json.loads(path.with_suffix(".json").read_text())
    assert described["output"]["logits"] is False and described["labels"] is None


def test_what_is_no_image_does_not_claim_to_be_one(tmp_path):
    picture, row = keras.Input((8, 8, 3), name="picture"), keras.Input((5,), name="row")
    maps = keras.Input((2, 2, 3), name="maps")
    x = keras.layers.Conv2D(3, 1)(picture)
    x = [keras.layers.GlobalAveragePooling2D()(t) for t in (x, maps)]
    model = keras.Model([picture, row, maps], keras.layers.Concatenate()([*x, row]))

    def images(**given):
        path = export.tflite(model, tmp_path / "m.tflite", **given)
        described = json.loads(path.with_suffix(".json").read_text())
        keys = {"range", "resize", "channels"}
        assert all(len(keys & set(t)) in (0, 3) for t in described["input"])
        return [t["name"] for t in described["input"] if "range" in t], described

    # By their shapes, the maps look as an image does: who makes the file knows better.
    assert images()[0] == ["picture", "maps"]
    about = export.About({"picture": "bilinear, cut"}, {"app": {"cells": 2}})
    found, described = images(about=about)
    assert found == ["picture"] and described["app"] == {"cells": 2}
    assert described["input"][0]["resize"] == "bilinear, cut"
