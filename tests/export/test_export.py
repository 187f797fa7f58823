"""Exported files say what the model says, and refuse what they cannot."""

import dataclasses
import time

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras import export
from hh_keras.errors import ModelError
from hh_keras.export.formats import inexact
from hh_keras.export.timing import in_turns


def classifier(size=8):
    x = inputs = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(6, 3, activation="relu", name="conv")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(4)(x))


def pair():
    """Two inputs of one shape and two outputs, so that a swap would show."""
    a, b = (keras.Input((4, 4, 2), name=name) for name in ("second", "first"))
    conv = keras.layers.Conv2D(3, 3)
    difference = keras.layers.Subtract()([conv(a), conv(b)])
    total = keras.layers.Add()([conv(a), conv(b)])
    return keras.Model({"second": a, "first": b}, [difference, total])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (5, 8, 8, 3)).astype("float32")


def save(model, path):
    """A SavedModel at a path of its own kind: in a folder, by number."""
    return export.saved_model(model, path.parent, path.name)


WRITERS = {"saved_model": save, "model.tflite": export.tflite}


@pytest.mark.parametrize("name", WRITERS)
def test_files_agree_with_the_model(name, tmp_path, images):
    model = classifier()
    path = WRITERS[name](model, tmp_path / "out" / name)
    found = export.parity(model, path, images)
    assert found.examples == 5 and found.relative < 1e-5 and found.top1_agreement == 1
    assert export.input_shape(path) == (8, 8, 3)
    assert {p.name for p in path.parent.iterdir()} <= {"1", name, "model.json"}
    opened = export.open_model(path)
    np.testing.assert_array_equal(
        export.predict(opened, images), export.predict(path, images)
    )


@pytest.mark.parametrize("name", WRITERS)
def test_several_inputs_and_outputs_keep_their_order(name, tmp_path):
    model = pair()
    path = WRITERS[name](model, tmp_path / name)
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=(3, 4, 4, 2)).astype("float32") for _ in range(2)]
    assert export.parity(model, path, arrays).relative < 1e-5


@pytest.mark.parametrize("name", WRITERS)
def test_a_sequential_that_was_never_called(name, tmp_path):
    flat, dense = keras.layers.Flatten(), keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((4, 4, 1)), flat, dense])
    path = WRITERS[name](model, tmp_path / name)
    ramp = np.arange(48, dtype="float32").reshape(3, 4, 4, 1)
    assert export.parity(model, path, ramp).relative < 1e-5


def test_parity_sees_another_model(tmp_path, images):
    path = export.tflite(classifier(), tmp_path / "a.tflite")
    keras.utils.set_random_seed(7)
    assert export.parity(classifier(), path, images).relative > 1e-2
    other = classifier()
    other = keras.Model(other.inputs, keras.layers.Flatten()(other.inputs[0]))
    with pytest.raises(ModelError, match="another model"):
        export.parity(other, path, images)


def test_parity_by_what_outputs_lead_to(tmp_path, images):
    path = export.tflite(classifier(), tmp_path / "a.tflite")
    keras.utils.set_random_seed(7)
    found = export.parity(classifier(), path, images, lambda out: [0 * out[0] + 1])
    assert found.max_abs == 0 and found.examples == len(images)


def test_a_rebuilt_model_exports(tmp_path, images):
    model = classifier()
    small = hh.shrink(
        model, budget=hh.Budget(macs=0.5 * hh.cost(model).macs), width=1,
        criterion="weight_norm", weights="inherit",
    ).model  # fmt: skip
    path = export.tflite(small, tmp_path / "small.tflite")
    assert export.parity(small, path, images).relative < 1e-5
    whole = export.tflite(model, tmp_path / "whole.tflite")
    assert path.stat().st_size < whole.stat().st_size


def test_unknown_sizes_need_a_shape(tmp_path):
    model = classifier(size=None)
    with pytest.raises(ModelError, match="image_shape"):
        export.tflite(model, tmp_path / "m.tflite")
    path = export.tflite(model, tmp_path / "m.tflite", (9, 9, 3))
    assert export.input_shape(path) == (9, 9, 3)


def test_unbuilt_models_are_refused(tmp_path):
    for write in WRITERS.values():
        with pytest.raises(ModelError, match="keras.Input"):
            write(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["m.keras", "m.tflite", "m.txt", "saved", "none"])
def test_corrupt_files_are_named(name, tmp_path, images):
    path = tmp_path / name
    if name == "saved":
        path.mkdir()
    elif name != "none":
        path.write_bytes(b"no model at all")
    for read in (export.input_shape, lambda p: export.predict(p, images)):
        with pytest.raises(ModelError, match=name):
            read(path)


def test_wrong_inputs_are_explained(tmp_path, images):
    path = export.tflite(classifier(), tmp_path / "m.tflite")
    with pytest.raises(ModelError, match=r"does not run on inputs \(8, 7, 3\)"):
        export.predict(path, images[:, :, :7])


def test_latencies_of_several_files(tmp_path):
    model = classifier()
    path = export.tflite(model, tmp_path / "m.tflite")
    found = export.latencies([path, model], runs=4, warmup=1)
    for each in found:
        assert each.runs == 4
        assert 0 < each.p10_ms <= each.median_ms <= each.p90_ms <= each.p99_ms
        assert each.ratio_p25 <= each.ratio <= each.ratio_p75
    assert found[0].ratio == 1
    with pytest.raises(ValueError, match="runs"):
        export.latency(path, runs=0)


def test_turns_are_taken_and_rotate():
    order = []

    def runner(name, ms):
        return lambda: order.append(name) or ms

    found = in_turns([runner("a", 1.0), runner("b", 3.0)], rounds=2, warmup=1)
    np.testing.assert_array_equal(found, [[1, 1], [3, 3]])
    assert order == ["b", "a", "a", "b", "b", "a"]
    order.clear()
    in_turns([runner("a", 1.0), runner("b", 3.0)], rounds=1, warmup=0, twice=True)
    assert order == ["a", "a", "b", "b"]


def test_rounds_go_on_for_the_wanted_time():
    waits = in_turns([lambda: time.sleep(0.01) or 1.0], 1, seconds=0.1, warmup=0)
    assert 2 <= waits.shape[1] <= 11


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_parity_sees_nan_in_every_output(bad):
    wanted = [np.random.default_rng(k).normal(size=(4, 3)) for k in range(3)]
    found = [x.copy() for x in wanted]
    assert export.agreement(wanted, found).relative == 0
    found[bad][1, 2] = np.nan
    parity = export.agreement(wanted, found)
    assert np.isnan(parity.max_abs) and np.isnan(parity.relative)
    assert "do not deploy" in inexact("f.tflite", dataclasses.asdict(parity))
