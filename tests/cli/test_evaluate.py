"""Every kind of model file gets the same scores, on the screen and in files."""

import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

from hh_keras import data as datasets
from hh_keras import export
from hh_keras.cli import flags
from hh_keras.cli.commands import evaluate

L = keras.layers
KINDS = ("model.keras", "saved/1", "model.tflite")


def classifier(shape, classes, activation=None):
    keras.utils.set_random_seed(5)
    inputs = keras.Input(shape)
    x = L.Conv2D(8, 5, strides=3, activation="relu")(L.Rescaling(1 / 128, -1)(inputs))
    x = L.Flatten()(L.AveragePooling2D(3)(x))
    return keras.Model(inputs, L.Dense(classes, activation=activation)(x))


def files_of(model, folder):
    """The model as each of `KINDS`."""
    model.save(folder / "model.keras")
    export.saved_model(model, folder, "saved")
    export.tflite(model, folder / "model.tflite")
    return {kind: folder / kind for kind in KINDS}


@pytest.fixture(scope="module", params=[None, "softmax"])
def models(tmp_path_factory, request):
    """Classifiers of the embedded images, that end in logits and in probabilities."""
    model = classifier((28, 28, 1), 10, request.param)
    return files_of(model, tmp_path_factory.mktemp("models"))


@pytest.fixture
def scored(capsys, tmp_path):
    """Evaluates a file; returns what is printed and evaluation.json."""

    def start(path, *more):
        out = tmp_path / "out" / path.name
        assert evaluate.entry([f"--model={path}", f"--output={out}", *more]) == 0
        assert Image.open(out / "confusion.png").size[0] > 400
        found = json.loads((out / "evaluation.json").read_text())
        return capsys.readouterr().out, found

    return start


def alike(found):
    """Scores without what may differ: the file, and the last digits."""
    rounded = {k: v for k, v in found.items() if k not in ("model", "loss")}
    return rounded | {"loss": pytest.approx(found["loss"], rel=1e-4)}


def test_all_kinds_of_files_get_the_same_scores(models, scored):
    (line, first), *others = (scored(p, "--limit=40") for p in models.values())
    for other_line, other in others:
        assert alike(other) == alike(first)
        assert other_line.splitlines()[:2] == line.splitlines()[:2]
    assert first["images"] == 40 and first["view"] == "resize"
    assert first["model"] == str(models["model.keras"])


def test_the_file_agrees_with_the_screen_and_with_itself(models, scored):
    line, found = scored(models["model.keras"], "--limit=40", "--batch_size=7")
    data = datasets.load("embedded", limit=40, batch_size=7)
    labels = np.concatenate([y for _, y in data.validation.as_numpy_iterator()])
    sizes = dict(zip(data.class_names, np.bincount(labels, minlength=10)))
    by_class = found["accuracy_by_class"]
    assert list(by_class) == list(data.class_names)
    right = sum(by_class[name] * sizes[name] for name in sizes if sizes[name])
    assert right / 40 == pytest.approx(found["accuracy"])
    assert f"accuracy {found['accuracy']:.2%}, top-5" in line
    assert f"loss {found['loss']:.4f} on 40 validation images" in line
    worst = re.search("^worst: (.*)$", line, re.M)[1].split(", ")
    shares = sorted(share for share in by_class.values() if share is not None)
    assert [part.split()[-1] for part in worst] == [f"{s:.1%}" for s in shares[:3]]


@pytest.mark.parametrize("view", datasets.VIEWS)
def test_cuts_are_averaged_for_every_kind_of_file(photos, tmp_path, scored, view):
    model = classifier((24, 20, 3), 2, "softmax" if view == "ten" else None)
    more = f"--dataset={photos}", f"--view={view}", "--batch_size=4"
    runs = [scored(path, *more) for path in files_of(model, tmp_path).values()]
    data = datasets.load(photos, image_shape=(24, 20, 3), view=view)
    (images, labels) = next(data.validation.as_numpy_iterator())
    shares = model(images.reshape(-1, 24, 20, 3)).numpy()
    if view != "ten":
        shares = keras.ops.convert_to_numpy(keras.ops.softmax(shares))
    shares = shares.reshape(len(labels), -1, 2).mean(1)
    loss = -np.log(shares[np.arange(len(labels)), labels]).mean()
    for _, found in runs:
        assert found["view"] == view and found["images"] == 6
        assert found["loss"] == pytest.approx(loss, rel=1e-3)
        assert found["accuracy"] == np.mean(shares.argmax(1) == labels)
        assert list(found["accuracy_by_class"]) == ["cat", "dog"]


def test_classes_without_images_have_no_accuracy(models, scored):
    line, found = scored(models["model.keras"], "--limit=3")
    missing = [k for k, share in found["accuracy_by_class"].items() if share is None]
    assert len(missing) >= 7 and not any(f"{name} " in line for name in missing)


def test_unreadable_images_are_left_out_and_named(photos, tmp_path, scored):
    path = photos / "val" / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:60])
    model = classifier((24, 20, 3), 2)
    model.save(tmp_path / "model.keras")
    more = f"--dataset={photos}", "--view=five", "--batch_size=1"
    line, found = scored(tmp_path / "model.keras", *more)
    assert found["images"] == 5 and "on 5 validation images" in line
    assert [str(path)] == [place for place in found["skipped"] if str(path) in place]


def test_nothing_is_written_unless_asked(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert evaluate.entry([f"--model={models['model.keras']}", "--limit=5"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_other_classes(kind, tmp_path, capsys):
    path = files_of(classifier((28, 28, 1), 12), tmp_path)[kind]
    assert evaluate.entry([f"--model={path}", "--limit=5"]) == 2
    message = capsys.readouterr().err
    assert "do not match the head" in message and "12" in message and "10" in message


def test_a_file_of_classes_by_other_names(models, tmp_path, capsys):
    model = keras.models.load_model(models["model.keras"])
    names = ["shirt", *"bcdefghij"]
    path = export.tflite(model, tmp_path / "named.tflite", labels=names)
    assert evaluate.entry([f"--model={path}", "--limit=5"]) == 2
    assert re.search(r"output 0 is 'shirt', by named.json", capsys.readouterr().err)
    path.with_suffix(".json").unlink()
    assert evaluate.entry([f"--model={path}", "--limit=5"]) == 0


def test_a_file_with_two_outputs(tmp_path, capsys):
    inputs = keras.Input((28, 28, 1))
    x = L.Flatten()(inputs)
    model = keras.Model(inputs, [L.Dense(10)(x), L.Dense(3)(x)])
    export.tflite(model, tmp_path / "two.tflite")
    assert evaluate.entry([f"--model={tmp_path / 'two.tflite'}", "--limit=5"]) == 2
    assert "one array (images, classes)" in capsys.readouterr().err


def test_the_views_are_those_of_the_data():
    assert flags.VIEW.parser.names == datasets.VIEWS
