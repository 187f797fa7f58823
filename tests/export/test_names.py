"""Models whose inputs are named like the columns of a table."""

import json
import keyword

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras import export
from hh_keras.export import prediction
from hh_keras.export.names import safe_names

NAMES = [
    ("Fare per person", "Age"),
    ("größe", "gewicht"),
    ("class", "sex"),
    ("1st", "2nd"),
    ("a b", "a_b"),
    ("a-b", "a.b"),
    ("x:0", "y"),
    ("self", "args"),
    ("_x", "__y"),
    (" ", "  "),
    ("A", "a"),
    ("日本", "語"),
]


def table(names, layer="d 2"):
    inputs = [keras.Input((3,), name=name) for name in names]
    x = keras.layers.Concatenate(name="größe von allem")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name=layer)(x), name="Tabelle 1")


@pytest.mark.parametrize("names", NAMES)
def test_files_of_such_models(names, tmp_path):
    model = table(names)
    arrays = [np.random.default_rng(k).normal(size=(4, 3)) for k in range(2)]
    arrays = [array.astype("float32") for array in arrays]
    wanted = np.asarray(model(arrays))
    saved = export.saved_model(model, tmp_path, "m", warm_up=True)
    lite = export.tflite(model, tmp_path / "m.tflite")
    for path in (saved, lite):
        np.testing.assert_allclose(export.predict(path, arrays), wanted, atol=1e-5)
    assert model.name == "Tabelle 1" and [x.name for x in model.inputs] == list(names)
    assert model.layers[-1].kernel.path == "d 2/kernel"

    serve = tf.saved_model.load(str(saved)).signatures["serving_default"]
    safe = safe_names(names)
    assert set(serve.structured_input_signature[1]) == set(safe)
    given = dict(zip(safe, map(tf.constant, arrays), strict=True))
    (found,) = serve(**given).values()
    np.testing.assert_allclose(found, wanted, atol=1e-5)

    changed = {new: old for new, old in zip(safe, names, strict=True) if new != old}
    notes = json.loads((saved / "assets.extra/names.json").read_text())
    assert notes["inputs"] == changed
    told = json.loads(lite.with_suffix(".json").read_text())["input"]
    assert {x["name"]: x.get("keras_name", x["name"]) for x in told} == dict(
        zip(safe, names, strict=True)
    )


def test_warm_up_requests_use_the_new_names(tmp_path):
    pytest.importorskip("tensorflow_serving")
    from tensorflow_serving.apis import prediction_log_pb2

    saved = export.saved_model(table(("Fare per person", "größe")), tmp_path, "m")
    path = saved / "assets.extra/tf_serving_warmup_requests"
    (record,) = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    log = prediction_log_pb2.PredictionLog.FromString(record)
    inputs = set(log.predict_log.request.inputs)
    assert inputs == {"Fare_per_person", "groesse"}


def test_dicts_of_such_names(tmp_path):
    inputs = {name: keras.Input((3,), name=name) for name in ("Preis in €", "größe")}
    x = keras.layers.Concatenate()(list(inputs.values()))
    outputs = {"Miete kalt": keras.layers.Dense(1)(x), "p 2": keras.layers.Dense(2)(x)}
    model = keras.Model(inputs, outputs)
    saved = export.saved_model(model, tmp_path, "m", warm_up=False)
    serve = tf.saved_model.load(str(saved)).signatures["serving_default"]
    assert set(serve.structured_outputs) == {"Miete_kalt", "p_2"}
    arrays = [np.ones((2, 3), "float32"), np.full((2, 3), 0.5, "float32")]
    for path in (saved, export.tflite(model, tmp_path / "m.tflite")):
        assert export.parity(model, path, arrays).relative < 1e-5
    notes = json.loads((saved / "assets.extra/names.json").read_text())
    assert notes["inputs"] == {"Preis_in": "Preis in €", "groesse": "größe"}
    assert notes["outputs"] == {"Miete_kalt": "Miete kalt", "p_2": "p 2"}


def test_good_names_stay(tmp_path):
    saved = export.saved_model(
        table(("left", "Right2"), "head"), tmp_path, "m", warm_up=False
    )
    serve = tf.saved_model.load(str(saved)).signatures["serving_default"]
    assert set(serve.structured_input_signature[1]) == {"left", "Right2"}
    assert not (saved / "assets.extra/names.json").exists()


@pytest.mark.parametrize(
    "names", [*NAMES, ("a b", "a_b", "a_b_1", "a-b"), ("class", "class_", "CLASS")]
)
def test_safe_names_are_different_and_safe(names):
    found = safe_names(names)
    assert len({name.lower() for name in found}) == len(names)
    for name in found:
        assert name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    assert safe_names(found) == found


def test_a_saved_model_tells_its_inputs_in_the_models_order(tmp_path):
    """Signatures sort by name, or not at all."""
    sizes = {"zeta": 8, "alpha": 3, "mid": 5}
    inputs = [keras.Input((n,), name=name) for name, n in sizes.items()]
    model = keras.Model(inputs, keras.layers.Concatenate()(inputs))
    path = export.saved_model(model, tmp_path, "m", encoded=None, warm_up=False)
    specs = prediction.input_specs(path)
    assert [shape[1] for shape, _ in specs] == [8, 3, 5]
    values = [np.full((1, n), k, "float32") for k, n in enumerate(sizes.values())]
    np.testing.assert_array_equal(
        export.open_model(path)(values)[0], np.concatenate(values, 1)
    )
