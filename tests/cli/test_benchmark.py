"""Files of several kinds timed in turns; mistakes get one line."""

import json

import keras
import numpy as np
import pytest

from hh_keras import export
from hh_keras.cli.commands import benchmark
from tests.cli.test_scripts import launch


def network(size, filters=4, batch=None):
    inputs = keras.Input((size, size, 1), batch_size=batch)
    x = keras.layers.Conv2D(filters, 3, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


@pytest.fixture
def models(tmp_path):
    """Files of every kind, with inputs of several shapes."""
    small, large = network(8), network(24, 32)
    images = np.random.default_rng(0).uniform(0, 255, (8, 8, 8, 1)).astype("float32")
    export.tflite(small, tmp_path / "small.tflite")
    export.tflite(large, tmp_path / "large.tflite", batch=2)
    export.tflite(
        small, tmp_path / "whole.tflite", quantize="int8", representative=images,
        integer_io=True,
    )  # fmt: skip
    small.save(tmp_path / "small.keras")
    export.saved_model(small, tmp_path, "saved")
    network(None).save(tmp_path / "any.keras")
    return tmp_path


@pytest.mark.slow
def test_files_of_all_kinds_in_one_run(models):
    names = "small.tflite", "large.tflite", "whole.tflite", "small.keras", "saved/1"
    done = launch(
        "benchmark", *(f"--model={models / name}" for name in names), "--rounds=20",
        "--seconds=0.2", "--warmup=3", "--batch=5", f"--workdir={models / 'out'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((models / "out" / "benchmark.json").read_text())
    files = found["files"]
    assert [each["inputs"] for each in files] == [
        [[1, 8, 8, 1]], [[2, 24, 24, 1]], [[1, 8, 8, 1]], [[5, 8, 8, 1]], [[5, 8, 8, 1]]
    ]  # fmt: skip
    for each, name in zip(files, ("small.tflite", *names[1:-1], "1")):
        assert each["runs"] >= 20 and each["bytes"] > 0
        assert 0 < each["p10_ms"] <= each["median_ms"] <= each["p90_ms"]
        assert each["p90_ms"] <= each["p99_ms"]
        assert 0 < each["ratio_p25"] <= each["ratio"] <= each["ratio_p75"]
        assert name in done.stdout
    # 32 filters on 22 x 22 places, two images: some 200 times the work.
    assert files[0]["ratio"] == 1 and files[1]["ratio"] > 1
    assert (models / "out" / "benchmark.png").read_bytes()[:4] == b"\x89PNG"
    sized = launch(
        "benchmark", f"--model={models / 'any.keras'}", "--image_size=12x9",
        "--rounds=2", "--seconds=0", f"--workdir={models / 'sized'}",
    )  # fmt: skip
    assert sized.returncode == 0 and "1x12x9x1" in sized.stdout, sized.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], ["--model", "missing"]),
        (["--model=nowhere.tflite"], ["nowhere.tflite", "no such file"]),
        (["--model={}/corrupt.tflite"], ["corrupt.tflite", "cannot be loaded"]),
        (["--model={}/small.tflite", "--threads=0"], ["--threads", "at least 1"]),
        (["--model={}/small.tflite", "--threads=9999"], ["9999", "CPUs"]),
        (["--model={}/small.tflite", "--rounds=0"], ["--rounds", "at least 1"]),
        (["--model={}/any.tflite", "--seconds=0"], ["any.tflite", "image_size"]),
    ],
)
def test_one_message(tmp_path, capsys, flags, words):
    export.tflite(network(8), tmp_path / "small.tflite")
    (tmp_path / "corrupt.tflite").write_bytes(b"no model")
    (tmp_path / "any.tflite").write_bytes(of_any_size())
    flags = [flag.format(tmp_path) for flag in flags]
    assert benchmark.entry([*flags, f"--workdir={tmp_path / 'out'}"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and all(word in lines[0] for word in words), lines
    assert not (tmp_path / "out" / "run.json").exists()


def of_any_size():
    """A .tflite file whose image size is open."""
    import tensorflow as tf

    from hh_keras.export.quiet import quiet

    spec = tf.TensorSpec((1, None, None, 1), tf.float32)
    function = tf.function(lambda x: x + 1).get_concrete_function(spec)
    with quiet():
        return tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()


def test_names_are_as_long_as_it_takes():
    from hh_keras.cli.timing import _names

    assert _names(["runs/a/m.tflite", "runs/b/m.tflite"]) == [
        "a/m.tflite",
        "b/m.tflite",
    ]
    assert _names(["x/m.tflite", "x/m.tflite"]) == ["m.tflite", "m.tflite"]
