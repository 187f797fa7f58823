"""int8 files some of whose layers stay in floats."""

import keras
import numpy as np
import pytest

from hh_keras import export
from hh_keras.errors import ModelError
from hh_keras.export.mixed import computed_by
from hh_keras.export.prediction import interpreter_class


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(5, 3, activation="relu", name="coarse")(x)
    x = keras.layers.Conv2D(7, 3, activation="relu", name="fine")(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def images():
    return np.random.default_rng(0).uniform(0, 255, (8, 12, 12, 3)).astype("float32")


def kernels(path):
    """Type of the kernels, by how many channels they make."""
    details = interpreter_class()(model_path=str(path)).get_tensor_details()
    shapes = {tuple(d["shape"]): d["dtype"] for d in details}
    return shapes[5, 3, 3, 3], shapes[7, 3, 3, 5]


def test_layers_stay_in_floats(model, tmp_path):
    whole, mixed = (
        export.tflite(
            model, tmp_path / f"{k}.tflite", quantize="int8", representative=images(),
            floats=floats,
        )
        for k, floats in enumerate([(), ("fine",)])
    )  # fmt: skip
    assert kernels(whole) == (np.int8, np.int8)
    assert kernels(mixed) == (np.int8, np.float32)
    wanted = export.predict(model, images())
    found = export.predict(mixed, images())
    assert np.abs(found - wanted).max() < 0.05 * wanted.max()


def test_tensors_are_known_by_their_layers():
    names = ["m/fit_4_1/mul", "m/fit_4/sum;m/other/x", "m/fit_40/mul", "m/a;fit_4/y"]
    assert computed_by(names, ["fit_4"]) == [names[0], names[1], names[3]]
    assert computed_by(names, []) == []


@pytest.mark.parametrize(
    "settings", [{"quantize": "float16"}, {"quantize": "int8", "integer_io": True}]
)
def test_floats_are_of_int8_alone(model, tmp_path, settings):
    with pytest.raises(ModelError, match="floats="):
        export.tflite(
            model, tmp_path / "x.tflite", representative=images(), floats=("fine",),
            **settings,
        )  # fmt: skip
