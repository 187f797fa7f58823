"""ONNX and OpenVINO files say what the model says, or say what is wrong."""

import builtins

import keras
import numpy as np
import pytest
from keras import layers as L

from hh_keras import export
from hh_keras.errors import HHError, ModelError

KINDS = {"onnx": export.onnx, "openvino": export.openvino}


def two_and_two():
    """Two inputs and two outputs, of which the later ones have the earlier names."""
    first, second = keras.Input((8, 8, 3), name="z"), keras.Input((4,), name="a")
    x = L.Conv2D(6, 3, strides=2, padding="same", activation="relu")(first)
    x = L.BatchNormalization()(L.DepthwiseConv2D(3)(x))
    x = L.Concatenate()([L.GlobalAveragePooling2D()(x), second])
    far = L.Dense(2, activation="softmax", name="y")(x)
    return keras.Model([first, second], [far, L.Dense(3, name="b")(x)])


@pytest.fixture(params=KINDS)
def kind(request):
    pytest.importorskip({"onnx": "tf2onnx", "openvino": "openvino"}[request.param])
    return request.param


@pytest.fixture
def write(kind, tmp_path):
    return lambda model: KINDS[kind](model, tmp_path / f"network.{kind}")


def drawn(model, examples=5):
    rng = np.random.default_rng(0)
    return [
        rng.normal(size=(examples, *x.shape[1:])).astype("float32")
        for x in model.inputs
    ]


def test_inputs_and_outputs_keep_their_order(write):
    model = two_and_two()
    path, inputs = write(model), drawn(model)
    for expected, found in zip(model(inputs), export.predict(path, inputs, 2, 1)):
        np.testing.assert_allclose(expected, found, atol=1e-6)
    sizes = export.input_sizes(path, batch=3)
    assert [shape for shape, _ in sizes] == [(3, 8, 8, 3), (3, 4)]
    assert all(kind == np.float32 for _, kind in sizes)
    assert export.latency(path, runs=2, warmup=1).median_ms > 0


def test_half_precision_is_written_in_float32(write):
    image = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, dtype="mixed_float16")(image)
    x = L.GlobalAveragePooling2D(dtype="mixed_float16")(x)
    model = keras.Model(image, L.Dense(2, dtype="float32")(x))
    inputs = drawn(model)
    np.testing.assert_allclose(
        model(inputs[0]), export.predict(write(model), inputs[0]), atol=5e-3
    )


def test_networks_of_any_size_take_any_size(write):
    image = keras.Input((None, None, 1))
    model = keras.Model(image, L.Conv2D(2, 3, padding="same")(image))
    path = write(model)
    for side in (5, 9):
        x = np.random.default_rng(0).normal(size=(2, side, side, 1)).astype("float32")
        np.testing.assert_allclose(model(x), export.predict(path, x), atol=1e-6)


def test_what_is_wrong_is_said_in_a_line(write, kind, tmp_path):
    with pytest.raises(ModelError, match="no known inputs"):
        write(keras.Sequential([L.Dense(2)]))
    broken = tmp_path / f"broken.{'onnx' if kind == 'onnx' else 'xml'}"
    broken.write_bytes(b"no graph")
    with pytest.raises(ModelError, match=f"{broken.name} cannot be loaded"):
        export.open_model(broken)
    path = write(two_and_two())
    with pytest.raises(ModelError, match="does not run on inputs"):
        export.predict(path, [np.zeros((1, 8, 8, 5)), np.zeros((1, 4))])


def test_a_runtime_that_is_missing_is_named(write, kind, monkeypatch):
    keep = builtins.__import__

    def without(name, *args, **settings):
        if name in ("tf2onnx", "openvino"):
            raise ImportError(name)
        return keep(name, *args, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(HHError, match=rf"pip install 'hh_keras\[{kind}\]'"):
        write(two_and_two())
