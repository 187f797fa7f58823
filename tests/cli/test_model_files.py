"""Every script that opens a model: old files work, attacks and lambdas are one line."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from hh_keras.cli.commands import evaluate, export, latency, restore, run, shrink, train
from tests.models.attacks import ATTACKS

SCRIPTS = {
    "evaluate": (evaluate, ["--limit=20"]),
    "export": (export, ["--limit=20", "--check_images=2"]),
    "latency": (latency, []),
    "restore": (restore, []),
    "run": (run, ["--limit=20", "--epochs=1"]),
    "shrink": (shrink, ["--limit=20"]),
    "train": (train, ["--limit=20", "--epochs=1"]),
}
pytestmark = pytest.mark.filterwarnings("ignore")  # Keras: h5 is legacy


def start(name, path, folder, *more):
    """Starts a script with a model; what it writes goes below a folder."""
    script, flags = SCRIPTS[name]
    place = {"evaluate": "output", "latency": "output", "restore": "output"}
    target = folder / ("table.json" if name == "latency" else "out")
    flags = [*flags, f"--{place.get(name, 'workdir')}={target}", *more]
    if name == "restore":
        image = folder / "photo.png"
        keras.utils.save_img(image, np.zeros((9, 9, 3)), scale=False)
        flags.append(f"--images={image}")
    return script.entry([f"--model={path}", *flags])


def left(folder):
    """Files in the work directory."""
    return [path for path in (folder / "out").rglob("*") if path.is_file()]


def one_line(capsys):
    return line_of(capsys.readouterr().err.strip())


def line_of(err):
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    return lines[0]


@pytest.mark.parametrize("attack", ["lambda_layer", "old_h5_lambda", "tf_keras_lambda"])
@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_no_script_runs_code_of_a_file(name, attack, tmp_path, capsys):
    canary = tmp_path / "canary"
    path = ATTACKS[attack](tmp_path, canary)
    capsys.readouterr()
    assert start(name, path, tmp_path) == 2
    line = one_line(capsys)
    assert path.name in line and "Python lambda" in line
    assert not canary.exists()


def test_nor_does_the_benchmark(tmp_path):
    """It wants a process of its own, to set TensorFlow's threads."""
    canary = tmp_path / "canary"
    path = ATTACKS["old_h5_lambda"](tmp_path, canary)
    flags = [f"--model={path}", f"--workdir={tmp_path / 'out'}"]
    run = [sys.executable, "-m", "launch.benchmark", *flags]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 2 and not canary.exists()
    line = line_of(done.stderr.strip())
    assert path.name in line and "Python lambda" in line


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_no_attack_gets_into_a_search(attack, tmp_path, capsys):
    canary = tmp_path / "canary"
    path = ATTACKS[attack](tmp_path, canary)
    capsys.readouterr()
    assert start("shrink", path, tmp_path) == 2
    assert path.name in one_line(capsys)
    assert not canary.exists() and not left(tmp_path)


@pytest.mark.parametrize("flag", ["pretrained", "teacher"])
def test_nor_do_weights_and_teachers(flag, tmp_path, capsys):
    canary = tmp_path / "canary"
    path = ATTACKS["lambda_layer"](tmp_path, canary)
    capsys.readouterr()
    assert start("train", "resnet8", tmp_path, f"--{flag}={path}") == 2
    assert path.name in one_line(capsys) and not canary.exists()


@pytest.mark.parametrize("kind", ["h5", "keras"])
def test_old_files_are_shrunk_and_evaluated(kind, tmp_path, capsys):
    from tests.models.old_models import L, tf_keras

    i = tf_keras.Input((28, 28, 1))
    x = L.Conv2D(8, 3, strides=2, activation="relu", name="stem/conv")(i)
    x = L.DepthwiseConv2D(3, activation="hard_sigmoid")(x)
    x = L.GlobalAveragePooling2D()(L.Conv2D(8, 1)(x * 2.0))
    path = tmp_path / f"old.{kind}"
    tf_keras.Model(i, L.Dense(10)(x)).save(path)
    flags = ("--width_mult=1", "--weights=inherit", "--macs=0.7x", "--batch_size=10")
    assert start("shrink", path, tmp_path, *flags) == 0, capsys.readouterr().err
    found = tmp_path / "out/lw_dna.keras"
    for model in (path, found):
        assert evaluate.entry([f"--model={model}", "--limit=20"]) == 0
    assert "accuracy" in capsys.readouterr().out


def with_lambda(image_shape, num_classes):
    i = keras.Input(image_shape)
    x = keras.layers.Lambda(lambda x: x / 255.0, name="to_unit")(i)
    x = keras.layers.Conv2D(8, 3, strides=4, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(i, keras.layers.Dense(num_classes)(x))


def denoiser_with_lambda(image_shape):
    i = keras.Input(image_shape)
    x = keras.layers.Conv2D(8, 3, padding="same", activation=lambda x: x * 2.0)(i)
    return keras.Model(i, keras.layers.Conv2D(image_shape[-1], 3, padding="same")(x))


@pytest.mark.parametrize("name", ["export", "run", "shrink", "train"])
def test_what_no_file_can_hold_is_refused_before_the_work(name, tmp_path, capsys):
    assert start(name, f"{__name__}:with_lambda", tmp_path) == 2
    line = one_line(capsys)
    assert "'to_unit'" in line and "register_keras_serializable" in line
    assert not left(tmp_path)


def test_of_networks_for_images_too(tmp_path, capsys):
    spec = f"{__name__}:denoiser_with_lambda"
    assert start("shrink", spec, tmp_path, "--task=denoise") == 2
    assert "activation is a Python lambda" in one_line(capsys)


@pytest.mark.parametrize("name", ["run", "shrink", "train", "export", "latency"])
def test_folders_and_weights_say_what_to_do(name, tmp_path, capsys):
    model = with_lambda((28, 28, 1), 10)
    model.export(tmp_path / "saved", verbose=False)
    model.save_weights(tmp_path / "m.weights.h5")
    capsys.readouterr()
    assert start(name, tmp_path / "saved", tmp_path) == 2
    assert "SavedModel folder" in one_line(capsys)
    assert start(name, tmp_path / "m.weights.h5", tmp_path) == 2
    assert "--pretrained=" in one_line(capsys)
