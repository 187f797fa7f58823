import csv
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras.errors import DataError, HHError
from hh_keras.tasks.classification.evaluation import evaluate, score_outputs
from hh_keras.training import Recipe, strategy
from hh_keras.training.fit import steps_per_epoch
from hh_keras.training.history import read_history
from tests.classifiers import train

L = keras.layers


def classifier(classes=3, last=None):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            L.Rescaling(1 / 127.5, -1),
            L.Conv2D(8, 3, activation="relu"),
            L.GlobalAveragePooling2D(),
            L.Dense(classes, activation=last),
        ]
    )


def blobs(batch_size=16, examples=96):
    """Three classes that differ in brightness: learnt in a few steps."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, examples).astype("int32")
    images = (
        rng.normal(size=(examples, 6, 6, 1)) * 20
        + 60
        + 70 * labels.reshape(-1, 1, 1, 1)
    )
    dataset = tf.data.Dataset.from_tensor_slices((images.astype("float32"), labels))
    return types.SimpleNamespace(
        train=dataset.shuffle(examples, seed=0).batch(batch_size),
        validation=dataset.batch(batch_size),
    )


def test_training_learns_and_leaves_its_history(tmp_path, capsys):
    model, data = classifier(), blobs()
    before = evaluate(model, data.validation)
    recipe = Recipe(epochs=6, learning_rate=0.1, batch_size=16)
    rows = train(model, data, recipe, workdir=tmp_path, name="small").history
    after = evaluate(model, data.validation)
    assert not model.compiled and isinstance(model, keras.Sequential)
    assert after["loss"] < before["loss"]
    assert after["accuracy"] == pytest.approx(rows[-1]["val_accuracy"], abs=1e-5)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[0]["learning_rate"] == pytest.approx(0.1)
    assert rows[3]["learning_rate"] == pytest.approx(0.05, rel=1e-3)
    assert set(rows[0]) == {
        "epoch", "loss", "accuracy", "val_loss", "val_accuracy",
        "learning_rate", "seconds",
    }  # fmt: skip
    assert read_history(tmp_path, "small") == rows
    with open(tmp_path / "history" / "small.csv", newline="") as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == [
            row["loss"] for row in rows
        ]
    lines = capsys.readouterr().out.splitlines()
    assert "epoch 1/6" in lines[0] and "to go" in lines[0]
    assert len(lines) == 6 and "to go" not in lines[-1]
    assert max(map(len, lines)) <= 88


def test_training_is_reproducible():
    recipe = Recipe(epochs=2, batch_size=16)
    one = train(classifier(), blobs(), recipe).history
    two = train(classifier(), blobs(), recipe).history
    assert [r["loss"] for r in one] == [r["loss"] for r in two]


def test_nan_loss_stops_with_epoch_step_and_rate():
    recipe = Recipe(epochs=3, learning_rate=1e30, batch_size=16)
    with pytest.raises(HHError, match=r"epoch \d, step \d.*learning rate"):
        train(classifier(), blobs(), recipe)


def test_training_with_smoothing_softmax_and_no_validation():
    data = types.SimpleNamespace(train=blobs().train, validation=None)
    rows = train(
        classifier(last="softmax"), data, Recipe(epochs=1, label_smoothing=0.1)
    ).history
    assert "val_loss" not in rows[0] and rows[0]["loss"] > 0


def test_training_under_a_mirrored_strategy():
    with strategy("mirrored", 1).scope():
        model = classifier()
    rows = train(model, blobs(), Recipe(epochs=1, batch_size=16)).history
    assert np.isfinite(rows[0]["loss"])


def test_strategy_names():
    assert strategy("default") is tf.distribute.get_strategy()
    with pytest.raises(HHError, match="mirrored"):
        strategy("miror")


def test_steps_per_epoch():
    data = tf.data.Dataset.range(10).batch(4)
    assert steps_per_epoch(data) == 3
    assert steps_per_epoch(data.filter(lambda x: True)) == 3
    with pytest.raises(HHError, match="never end"):
        steps_per_epoch(data.repeat())


def test_evaluate_agrees_with_keras_and_leaves_the_model_alone():
    model, data = classifier(classes=7), blobs().validation
    scores = evaluate(model, data)
    assert not model.compiled
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5)],
    )
    expected = model.evaluate(data, verbose=0)
    np.testing.assert_allclose(
        [scores["loss"], scores["accuracy"], scores["accuracy_top5"]],
        expected,
        rtol=1e-4,
    )


def test_score_outputs():
    outputs = np.array([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6]])
    scores = score_outputs(outputs, [0, 1], from_logits=False)
    assert scores["accuracy"] == 0.5 and "accuracy_top5" not in scores
    assert scores["loss"] == pytest.approx(-np.log([0.7, 0.2]).mean())
    assert score_outputs(outputs, [0, 1]) == scores
    assert score_outputs(np.zeros((3, 4)), [1, 2, 3])["accuracy"] == 0
    with pytest.raises(DataError, match="do not match"):
        score_outputs(outputs, [0, 3])
    with pytest.raises(HHError, match="finite"):
        score_outputs(outputs * np.nan, [0, 1])
    with pytest.raises(DataError, match="not a single"):
        evaluate(classifier(), blobs().validation.take(0))
