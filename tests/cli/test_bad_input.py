"""Bad input gets one message that names the culprit and the remedy; nothing is lost."""

import json
import os

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras.cli import workdir
from hh_keras.cli.commands import evaluate, export, run, shrink, train

SCRIPTS = {
    "evaluate": evaluate,
    "export": export,
    "run": run,
    "shrink": shrink,
    "train": train,
}


@pytest.fixture
def fails(tmp_path, capsys):
    """Starts a script that must fail; returns its one line on the standard error."""

    def start(script, *flags, workdir=tmp_path / "work"):
        if script != "evaluate":
            flags = (*flags, f"--workdir={workdir}")
        status = SCRIPTS[script].entry(["--limit=20", *flags])
        err = capsys.readouterr().err.strip()
        assert status == 2, err
        message = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(message) == 1 and "Traceback" not in err, err
        return message[0]

    return start


def classifier(classes=10, size=28):
    inputs = keras.Input((size, size, 1))
    x = keras.layers.Conv2D(8, 3, strides=4, activation="relu", name="conv")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="head")(x))


def not_a_number():
    model = classifier()
    # Not before the ReLU: where it is fused, some processors make zeros of NaN.
    model.get_layer("head").kernel.assign(model.get_layer("head").kernel * np.nan)
    return model


def not_followed():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(10)

        def call(self, x):
            if keras.ops.max(x) > 1:
                x = x / 255
            return self.dense(keras.ops.mean(x, (1, 2)))

    model = Mine()
    model(np.zeros((1, 28, 28, 1), "float32"))
    return model


def unbuilt():
    return keras.Sequential([keras.layers.Conv3D(4, 3), keras.layers.Dense(10)])


def broken():
    raise RuntimeError("the builder fell over")


def with_two_inputs():
    a, b = keras.Input((28, 28, 1)), keras.Input((28, 28, 1))
    x = keras.layers.Flatten()(keras.layers.Add()([a, b]))
    return keras.Model([a, b], keras.layers.Dense(10)(x))


@pytest.mark.parametrize(
    ("script", "flags", "words"),
    [
        ("shrink", ["--model=resnet21"], ["resnet21", "resnet20"]),
        ("shrink", ["--model=keras.applications.ResNet5"], ["ResNet50"]),
        ("train", ["--dataset=embeded"], ["embeded", "embedded"]),
        ("run", ["--criterion=gradiant"], ["--criterion", "gradient"]),
        ("run", ["--macs=lots"], ["--macs", "0.95x"]),
        ("run", ["--macs=none", "--params=none"], ["--macs", "--params"]),
        ("run", ["--epochs=0"], ["--epochs", "at least 1"]),
        ("run", ["--min_keep=1.5"], ["--min_keep", "share"]),
        ("run", ["--model_args=[1]"], ["--model_args", "JSON"]),
        ("run", ["--epoch=3"], ["epoch"]),
        ("run", ["epochs=3"], ["epochs=3", "--name=value"]),
        ("shrink", ["--model=no_such_module:build"], ["no_such_module"]),
        ("shrink", ["--model=tests.cli.test_bad_input:bild"], ["bild"]),
        ("shrink", ["--model=tests.cli.test_bad_input:broken"], ["fell over"]),
        (
            "shrink",
            ["--model=tests.cli.test_bad_input:not_followed"],
            ["Mine.call in test_bad_input.py:", "values of a tensor"],
        ),
        (
            "shrink",
            ["--model=tests.cli.test_bad_input:not_followed", "--noinline"],
            ["to stay closed", "--model"],
        ),
        (
            "shrink",
            ["--model=tests.cli.test_bad_input:unbuilt"],
            ["(28, 28, 1)", "Call it once"],
        ),
        (
            "train",
            ["--model=tests.cli.test_bad_input:with_two_inputs"],
            ["2 inputs"],
        ),
        (
            "train",
            ["--model=tests.cli.test_bad_input:classifier", "--image_size=32"],
            ["--image_size", "28"],
        ),
        (
            "train",
            [
                "--model=tests.cli.test_bad_input:classifier",
                '--model_args={"classes": 7}',
            ],
            ["head", "7 units", "10 classes"],
        ),
        (
            "shrink",
            [
                "--model=tests.cli.test_bad_input:not_a_number",
                "--weights=inherit",
                "--width_mult=1",
            ],
            ["'head'", "NaN"],
        ),
        (
            "shrink",
            [
                "--model=tests.cli.test_bad_input:not_a_number",
                "--weights=inherit",
                "--criterion=fisher",
            ],
            ["'head'", "NaN"],
        ),
        (
            "shrink",
            ["--model=tests.cli.test_bad_input:classifier", "--macs=10"],
            ["smallest reachable", "--macs"],
        ),
        ("evaluate", ["--model=nowhere.keras"], ["nowhere.keras"]),
        ("evaluate", ["--model=nowhere.tflite"], ["nowhere.tflite"]),
        ("evaluate", [], ["--model"]),
        ("export", [], ["--model"]),
        ("export", ["--model=nowhere.keras", "--formats=caffe"], ["float32"]),
        ("shrink", ["--plan=nowhere.json"], ["nowhere.json"]),
        ("shrink", ["--dataset=tfds:mnits"], ["mnist"]),
        ("shrink", ["--pretrained=nowhere.weights.h5"], ["nowhere.weights.h5"]),
    ],
)
def test_one_message(fails, script, flags, words):
    message = fails(script, *flags)
    for word in words:
        assert word in message, message


def test_a_fallen_training_keeps_what_there_is(fails, tmp_path):
    message = fails("train", "--learning_rate=1e30", "--epochs=2")
    assert "learning rate" in message and "Lower" in message
    assert (tmp_path / "work" / "run.json").exists()


@pytest.mark.parametrize("script", ["shrink", "train"])
def test_an_unreadable_image(fails, photos, script):
    path = photos / "train" / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:200])
    flags = f"--dataset={photos}", "--image_size=32", "--on_bad_image=fail"
    message = fails(script, *flags)
    assert str(path) in message and "Remove or replace" in message


def test_an_empty_class(fails, photos):
    for path in (photos / "val" / "cat").iterdir():
        path.unlink()
    message = fails("run", f"--dataset={photos}", "--image_size=32")
    assert str(photos / "val" / "cat") in message and "no images" in message


def test_a_folder_without_classes_and_without_validation(fails, photos, tmp_path):
    message = fails("train", f"--dataset={photos / 'train'}")
    assert str(photos / "train") in message and "train/<class>/" in message
    (photos / "val").rename(tmp_path / "elsewhere")
    assert "val/<class>/" in fails("train", f"--dataset={photos}")


def test_corrupt_model_file(fails, tmp_path):
    path = tmp_path / "bad.keras"
    path.write_bytes(b"PK not really")
    for script in ("shrink", "train", "export", "evaluate"):
        assert str(path) in fails(script, f"--model={path}")


def test_corrupt_plan_and_foreign_plan(fails, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{"version": 1, "groups": ')
    assert str(path) in fails("shrink", f"--plan={path}")
    model = classifier()
    budget = hh.Budget(params=0.9 * hh.cost(model).params)
    scores = hh.score_channels(model, criterion="random")
    hh.select_channels(hh.trace(model), scores, budget).save(path)
    assert "conv" in fails("shrink", f"--plan={path}", "--width_mult=1")


def test_a_workdir_of_another_run_is_left_alone(fails, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    record = json.dumps({"config": {"program": "run", "seed": 3}, "stages": {}})
    (folder / "run.json").write_text(record)
    (folder / "plan.json").write_text("precious")
    message = fails("shrink")
    assert str(folder) in message and "--overwrite" in message
    assert (folder / "run.json").read_text() == record
    assert (folder / "plan.json").read_text() == "precious"


def test_a_failed_search_leaves_an_old_plan(fails, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "plan.json").write_text("precious")
    fails("shrink", "--overwrite", "--macs=10")
    assert (folder / "plan.json").read_text() == "precious"


def test_a_workdir_that_is_a_file(fails, tmp_path):
    (tmp_path / "file").write_text("mine")
    message = fails("shrink", workdir=tmp_path / "file")
    assert "file" in message and "--workdir" in message


def test_a_workdir_in_use(fails, tmp_path):
    run = workdir.open_run(tmp_path / "work", {})
    message = fails("train")
    assert "in use" in message and "--workdir" in message
    assert run.path.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_workdir_without_permission(fails, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    message = fails("shrink", workdir=tmp_path / "closed" / "run")
    assert "--workdir" in message


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_every_flag(script, capsys):
    assert SCRIPTS[script].entry(["--help"]) == 0
    text = capsys.readouterr().out
    for group in SCRIPTS[script].GROUPS.values():
        for flag in group:
            names = f"--{flag.name}", f"--[no]{flag.name}"
            assert any(n in text for n in names) and flag.help.split()[0] in text


def test_debug_shows_the_traceback(capsys, tmp_path):
    flags = ["--model=nowhere.keras", "--debug", f"--workdir={tmp_path / 'w'}"]
    assert shrink.entry(flags) == 2
    assert "Traceback" in capsys.readouterr().err
