"""A task in one file of a user's, and networks of any inputs and outputs."""

import json
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import hh_keras as hh
from hh_keras import export
from hh_keras.errors import ModelError
from hh_keras.training import Task
from tests.cli.in_process import run
from tests.siamese import siamese
from tests.test_readme import blocks_of
from tests.two_answers import two_answers

MODULE = "two_answers_task"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the file that docs/own-task.md shows."""
    _, module, _ = blocks_of("own-task.md")
    (tmp_path / f"{MODULE}.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop(MODULE, None)


SPOILT = """
import dataclasses
import tensorflow as tf
from hh_keras import goal

KINDS = 3
MISTYPED = dataclasses.replace(TASK, defaults={"epoch": 1})
NEGATIVE = dataclasses.replace(TASK, defaults={"epochs": -1})
NO_GOAL = dataclasses.replace(TASK, goal=goal.number("acuracy"))


def of_any_size():
    image = keras.Input((None, None, 1))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    outputs = {"kind": keras.layers.Dense(3, name="kind")(x)}
    return keras.Model(image, outputs | {"light": keras.layers.Dense(1)(x)})


class Broken(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        if index:
            raise OSError("file 17 is broken")
        labels = {"kind": np.zeros(2), "light": np.zeros((2, 1))}
        return np.zeros((2, 12, 12, 1), "float32"), labels


FEW = tf.data.Dataset.from_tensor_slices(
    (np.zeros((4, 9, 9, 1), "float32"), {"kind": np.zeros(4), "light": np.zeros(4)})
)
NO_VALIDATION = dataclasses.replace(TASK, data=lambda: (FEW.batch(2), FEW.take(0)))
OF_OTHER_SHAPE = dataclasses.replace(TASK, data=lambda: (FEW.batch(2), FEW.batch(2)))
ROWS = tf.data.Dataset.from_tensors((np.zeros((4, 6), "float32"), np.zeros(4)))
OF_ROWS = dataclasses.replace(TASK, data=lambda: (ROWS, ROWS))


def FAILS():
    raise OSError("no such disc")


UNREADABLE = dataclasses.replace(TASK, data=lambda: (Broken(), Broken()))
"""
ANY_SIZE = f"--model={MODULE}:of_any_size"
SMALL = ("--batch_size=64", "--limit=128")
SEARCH = ("--search_batches=1", "--width_mult=1", "--macs=0.6x")


def test_it_is_searched_trained_and_evaluated(place):
    task = f"--task={MODULE}:TASK"
    flags = [task, "--workdir=runs/search", "--criterion=gradient", "--freeze=kind"]
    done = run("shrink", *flags, *SMALL, *SEARCH)
    assert done.returncode == 0, done.stderr
    model = f"--model={place}/runs/search/lw_dna.keras"
    done = run("train", task, model, *SMALL, "--epochs=1", "--workdir=runs/train")
    assert done.returncode == 0, done.stderr
    assert re.search(r"loss [\d.]+ on 64 validation images", done.stdout)
    results = json.loads((place / "runs/train/results.json").read_text())
    assert {"kind_loss", "light_loss", "kind_accuracy", "light_mae"} < set(results)
    total = results["kind_loss"] + 5 * results["light_loss"]
    assert results["loss"] == pytest.approx(total, rel=1e-4)
    trained = f"--model={place}/runs/train/model.keras"
    done = run("evaluate", task, trained, *SMALL)
    assert f"loss {results['loss']:.4g} on 64" in done.stdout, done.stderr


def test_another_content_of_the_file_is_another_run(place):
    flags = [f"--task={MODULE}:TASK", "--workdir=runs/search", "--freeze=kind"]
    flags += ["--criterion=weight_norm", *SMALL, *SEARCH]
    assert run("shrink", *flags).returncode == 0
    with open(place / f"{MODULE}.py", "a") as file:
        file.write("# another loss\n")
    done = run("shrink", *flags)
    assert done.returncode == 2 and "belongs to another run" in done.stderr
    assert "task_sha256" in done.stderr


@pytest.mark.slow
def test_it_goes_the_whole_way(place):
    flags = [*SMALL, *SEARCH, "--epochs=1", "--workdir=runs/two"]
    done = run("run", f"--task={MODULE}:TASK", *flags)
    assert done.returncode == 0, done.stderr
    found = json.loads((place / "runs/two/results.json").read_text())
    assert found["parity"]["float32"]["relative"] < 1e-4
    assert found["models"]["lw_dna"]["kind_accuracy"] >= 0
    about = json.loads((place / "runs/two/lw_dna.json").read_text())
    names = [output["keras_name"] for output in about["output"]]
    assert names == ["kind", "light"]
    assert [output["shape"] for output in about["output"]] == [[1, 3], [1, 1]]
    assert "loss" in (place / "runs/two/report.html").read_text()


@pytest.mark.parametrize(
    "flags, message",
    [
        ([f"--task={MODULE}:TAKS"], "has no 'TAKS'.*TASK"),
        (["--task=no_such_module:TASK"], "cannot import no_such_module"),
        ([f"--task={MODULE}:KINDS"], "it must be a hh_keras.training.Task"),
        (["--task=clasify"], "MODULE:TASK. Did you mean classify"),
        (
            [f"--task={MODULE}:MISTYPED"],
            "'epoch', which is no flag. Did you mean epochs",
        ),
        ([f"--task={MODULE}:NEGATIVE"], "the default -1 of --epochs"),
        ([f"--task={MODULE}:NO_GOAL"], "goal is 'acuracy', but no.*kind_accuracy"),
        ([f"--task={MODULE}:NO_VALIDATION", ANY_SIZE], "validation data .* no batch"),
        (
            [f"--task={MODULE}:OF_OTHER_SHAPE", f"--model={MODULE}:build"],
            r"data are \(None, 9, 9, 1\), but input .*takes \(None, 12, 12, 1\)",
        ),
        (
            [f"--task={MODULE}:OF_ROWS", "--model=resnet20"],
            r"data .* are \(6,\).*MODULE",
        ),
        ([f"--task={MODULE}:FAILS"], "FAILS failed with OSError: no such disc"),
        ([f"--task={MODULE}:UNREADABLE"], "failed with OSError: file 17 is broken"),
        (
            [f"--task={MODULE}:TASK", "--model=tests.siamese:siamese"],
            "2 inputs; a model with 1 .*exemplar",
        ),
        ([f"--task={MODULE}:TASK", "--dataset=photos/"], "take no such argument"),
        ([f"--task={MODULE}:TASK", "--label_smoothing=0.1"], "label_smoothing"),
    ],
)
def test_tasks_that_are_none(place, flags, message):
    with open(place / f"{MODULE}.py", "a") as file:
        file.write(SPOILT)
    if not any(flag.startswith("--model") for flag in flags):
        flags = [*flags, f"--model={MODULE}:build"]
    done = run("train", *flags, "--workdir=runs/none")
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr
    assert len(done.stderr.splitlines()) == 1


def two_inputs_and_outputs():
    model = siamese()
    return keras.Model(model.inputs, [model.output, model.get_layer("pooled").output])


WEIGHT_NORM = ("--criterion=weight_norm", "--width_mult=1", "--macs=0.8x")


@pytest.mark.parametrize("build", [two_answers, two_inputs_and_outputs])
def test_a_search_without_data_or_loss(tmp_path, monkeypatch, build):
    monkeypatch.setattr("hh_keras.data.loading.open_source", None)  # nothing is read
    original = build()
    original.save(tmp_path / "two_outputs.keras")
    folder = tmp_path / "out"
    model = f"--model={tmp_path}/two_outputs.keras"
    done = run("shrink", model, *WEIGHT_NORM, f"--workdir={folder}", "--round_to=1")
    assert done.returncode == 0, done.stderr
    small = keras.models.load_model(folder / "lw_dna.keras")
    whole = hh.cost(original).macs
    assert 0.7 * whole < hh.cost(small).macs <= 0.8 * whole
    shapes = [[x.shape for x in each.outputs] for each in (original, small)]
    assert shapes[0] == shapes[1]
    inputs = [np.zeros((1, *x.shape[1:]), "float32") for x in small.inputs]
    assert len(keras.tree.flatten(small(inputs if inputs[1:] else inputs[0]))) == 2


def test_what_was_left_alone_is_said(tmp_path):
    two_answers(width=16).save(tmp_path / "two_outputs.keras")
    flags = [f"--model={tmp_path}/two_outputs.keras", *WEIGHT_NORM]
    done = run("shrink", *flags, "--only=conv", f"--workdir={tmp_path}/out")
    assert done.returncode == 0, done.stderr
    assert "left alone 1 group: body" in done.stdout
    small = keras.models.load_model(tmp_path / "out/lw_dna.keras")
    assert small.get_layer("body").filters == 16 > small.get_layer("conv").filters
    done = run("shrink", *flags, "--freeze=bdoy", f"--workdir={tmp_path}/other")
    assert done.returncode == 2 and "nearest, body" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def with_names(model, image_shape, labels):
    """A signature that says which classes there are."""
    pixels = tf.TensorSpec((None, *image_shape), tf.float32, name="image")

    def call(image):
        return {"scores": model(image), "names": tf.constant(list(labels))}

    return export.Signature("named", (pixels,), call)


OF_IMAGES = Task(loss="sparse_categorical_crossentropy", encoded=with_names)


def test_export_tells_class_names_to_a_signature(tmp_path):
    image = keras.Input((28, 28, 1))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(7)(image))
    model = keras.Model(image, keras.layers.Dense(10, activation="softmax")(x))
    model.save(tmp_path / "model.keras")
    flags = [f"--task={__name__}:OF_IMAGES", f"--model={tmp_path / 'model.keras'}"]
    flags += [f"--workdir={tmp_path / 'files'}", "--formats=saved_model", "--limit=20"]
    done = run("export", *flags)
    assert done.returncode == 0, done.stderr
    served = tf.saved_model.load(next(tmp_path.glob("files/**/saved_model.pb")).parent)
    names = served.signatures["named"](image=tf.zeros((1, 28, 28, 1)))["names"]
    assert len(names) == 10 and b"Sneaker" in names.numpy()
    with pytest.raises(ModelError, match="`encoded` failed with TypeError"):
        export.saved_model(model, tmp_path / "none", encoded=lambda model: 1)
