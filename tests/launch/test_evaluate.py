"""launch/evaluate.py on every kind of file."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from hh_keras import export
from hh_keras.report import plot_confusion
from hh_keras.training import confusion, score_outputs
from launch import evaluate
from tests.launch.test_bad_input import classifier


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    keras.utils.set_random_seed(0)
    model = classifier()
    model.save(folder / "model.keras")
    export.saved_model(model, folder / "saved" / "1")
    export.tflite(model, folder / "model.tflite", (28, 28, 1))
    return [folder / "model.keras", folder / "saved" / "1", folder / "model.tflite"]


@pytest.mark.parametrize("view", [None, "center", "five", "ten"])
def test_all_formats_say_the_same(files, view, tmp_path, capsys):
    found = []
    for k, path in enumerate(files):
        out = tmp_path / str(k)
        flags = [f"--model={path}", "--limit=40", f"--output={out}"]
        assert evaluate.entry(flags + ([f"--view={view}"] if view else [])) == 0
        assert "worst: " in capsys.readouterr().out
        found.append(json.loads((out / "evaluation.json").read_text()))
        assert Image.open(out / "confusion.png").width > 500
    first, *others = found
    assert first["view"] == (view or "resize") and first["images"] == 40
    by_class = list(first["accuracy_by_class"].values())
    assert len(by_class) == 10  # of four images each
    assert np.mean(by_class) == pytest.approx(first["accuracy"])
    for other in others:
        assert other["accuracy_by_class"] == first["accuracy_by_class"]
        assert other["loss"] == pytest.approx(first["loss"], abs=1e-4)


def test_views_are_different(files, tmp_path):
    losses = set()
    for view in ("resize", "center", "five", "ten"):
        flags = [f"--model={files[0]}", "--limit=20", f"--view={view}"]
        assert evaluate.entry([*flags, f"--output={tmp_path}"]) == 0
        losses.add(json.loads((tmp_path / "evaluation.json").read_text())["loss"])
    assert len(losses) == 4


def test_nothing_is_written_without_output(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert evaluate.entry([f"--model={files[0]}", "--limit=20"]) == 0
    assert not list(tmp_path.iterdir())


def test_cuts_are_averaged_as_probabilities():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 5, 3)) * 3, np.array([0, 1, 2, 0, 1, 2])
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(shares.mean(1)[np.arange(6), labels]).mean()
    for outputs in (logits, shares):
        assert score_outputs(outputs, labels)["loss"] == pytest.approx(expected)
    counts = confusion(logits, labels)
    assert counts.sum() == 6 and counts.shape == (3, 3)
    accuracy = score_outputs(logits, labels)["accuracy"]
    assert np.trace(counts) / 6 == pytest.approx(accuracy)


@pytest.mark.parametrize("classes", [2, 10, 40, 200])
def test_confusion_pictures(classes):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, (classes, classes)) + 50 * np.eye(classes, dtype=int)
    counts[0] = 0  # a class without examples
    figure = plot_confusion(counts, [f"class {k}" for k in range(classes)])
    assert "classified right" in figure.get_suptitle()
    assert len(figure.axes[0].texts) == (0 if classes > 20 else np.sum(
        counts / np.maximum(counts.sum(1, keepdims=True), 1) >= 0.005
    ))  # fmt: skip
