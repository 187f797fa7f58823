"""What each setting of a recipe does, and what `train` keeps of a training."""

import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras.errors import HHError, WorkdirError
from hh_keras.tasks.classification.evaluation import evaluate
from hh_keras.training import Recipe, optimizer
from hh_keras.training.history import best_epoch, exhausted
from hh_keras.training.keeper import ROLLBACKS, NotFinite
from hh_keras.training.tensorboard import TensorBoard
from tests.classifiers import train
from tests.training.test_replicas import images, network

L = keras.layers


def trained(recipe, **settings):
    return train(
        network(normalised=True), images(recipe.batch_size), recipe, **settings
    )


class Weights(keras.callbacks.Callback):
    """Notes the trainable weights after every step."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append([w.numpy() for w in self.model.trainable_variables])


@pytest.mark.core
def test_averages_are_what_is_validated_and_kept():
    noted = Weights()
    recipe = Recipe(epochs=2, batch_size=8, ema=0.7)
    result = trained(recipe, callbacks=[noted])
    average = noted.seen[0]
    for weights in noted.seen[1:]:
        average = [0.7 * a + 0.3 * w for a, w in zip(average, weights)]
    for mine, its in zip(result.model.trainable_variables, average, strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-5)
    scores = evaluate(result.model, images().validation)
    assert scores["loss"] == pytest.approx(result.history[-1]["val_loss"], abs=1e-5)
    plain = trained(Recipe(epochs=2, batch_size=8))
    assert plain.history[-1]["loss"] == pytest.approx(result.history[-1]["loss"])


def test_averages_survive_an_interruption(tmp_path):
    recipe = Recipe(epochs=3, batch_size=8, ema=0.7)
    undisturbed = trained(recipe)

    def stop(epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
    with pytest.raises(KeyboardInterrupt):
        trained(recipe, workdir=tmp_path, callbacks=[callback])
    result = trained(recipe, workdir=tmp_path)
    for mine, its in zip(result.model.variables, undisturbed.model.variables):
        np.testing.assert_array_equal(mine, its)


def test_gradients_are_clipped_to_their_norm():
    noted = Weights()
    recipe = Recipe(
        epochs=1, batch_size=8, clip_norm=0.01, momentum=0.0, weight_decay=0.0,
        schedule="constant", learning_rate=1.0,
    )  # fmt: skip
    trained(recipe, callbacks=[noted])
    for before, after in zip(noted.seen, noted.seen[1:]):
        step = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(before, after)))
        assert step == pytest.approx(0.01, rel=1e-3)


def test_vectors_are_spared_the_decay():
    weights = [tf.Variable(tf.ones((2, 2))), tf.Variable(tf.ones(2))]
    still = [tf.zeros_like(w) for w in weights]
    for spared in (False, True):
        recipe = Recipe(weight_decay=0.5, momentum=0.0, decay_vectors=not spared)
        optimizer(recipe, 10).apply(still, weights)
        assert np.max(weights[0]) < 1
        assert (np.max(weights[1]) < 1) == (not spared)
        weights[1].assign(tf.ones(2))


def test_the_learning_rate_grows_with_the_batch():
    recipe = Recipe(batch_size=512, learning_rate=0.1, lr_batch_size=256)
    assert recipe.peak_learning_rate == pytest.approx(0.2)
    assert Recipe(batch_size=512).peak_learning_rate == pytest.approx(0.1)
    rows = trained(Recipe(epochs=1, batch_size=8, lr_batch_size=16)).history
    assert rows[0]["learning_rate"] == pytest.approx(0.05)


def rows_of(*accuracies):
    return [
        {"epoch": k, "loss": 1.0, "val_accuracy": v}
        for k, v in enumerate(accuracies, 1)
    ]


def test_the_best_epoch_and_patience():
    rows = rows_of(0.3, 0.5, 0.5, 0.4)
    assert best_epoch(rows) == 2 and best_epoch([]) == 0
    assert best_epoch([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]) == 2
    assert [exhausted(rows, n) for n in (0, 1, 2, 3)] == [False, True, True, False]
    assert not exhausted([], 1)


def test_training_ends_early_and_stays_ended(tmp_path):
    recipe = Recipe(epochs=30, batch_size=8, learning_rate=1e-6, patience=2)
    first = trained(recipe, workdir=tmp_path).history
    assert len(first) == 3 and exhausted(first, 2)
    assert trained(recipe, workdir=tmp_path).history == first
    assert (
        len(trained(Recipe(epochs=9), until=lambda rows: len(rows) == 2).history) == 2
    )


def test_the_best_and_the_last_model_are_kept(tmp_path):
    recipe = Recipe(epochs=4, batch_size=8, ema=0.5, precision="mixed_bfloat16")
    result = trained(recipe, workdir=tmp_path, epoch_models=True)
    last, best = (
        keras.models.load_model(tmp_path / f"epoch_models/model_{name}.keras")
        for name in ("last", "best")
    )
    for mine, its in zip(last.variables, result.model.variables, strict=True):
        np.testing.assert_array_equal(mine, its)
    row = result.history[best_epoch(result.history) - 1]
    assert evaluate(best, images().validation)["accuracy"] == pytest.approx(
        row["val_accuracy"], abs=0.03
    )
    assert {layer.dtype_policy.name for layer in best.layers} == {"float32"}


class Spoil(keras.callbacks.Callback):
    """Makes a weight NaN, once or whenever the learning rate is still so high."""

    def __init__(self, at, above=0.0):
        super().__init__()
        self.at, self.above, self.steps = at, above, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.steps += 1
        if (
            self.steps >= self.at
            and float(self.model.optimizer.learning_rate) > self.above
        ):
            self.at = 10**9 if not self.above else self.at
            self.model.trainable_variables[0].assign_add(
                np.nan * self.model.trainable_variables[0]
            )


def test_a_loss_that_is_no_number_stops_training(tmp_path):
    with pytest.raises(
        NotFinite, match="epoch 2, step 2.*rollback.*model-00001-"
    ) as told:
        trained(Recipe(epochs=3, batch_size=8), workdir=tmp_path, callbacks=[Spoil(7)])
    assert "learning rate 0.0655" in str(told.value)


@pytest.mark.parametrize("on_nan", ["stop", "rollback"])
def test_data_that_are_no_numbers_are_to_blame(tmp_path, on_nan):
    images, labels = np.zeros((24, 6, 6, 1), "float32"), np.zeros(24, "int32")
    images[13, 2, 3, 0] = np.inf
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
    with pytest.raises(NotFinite, match="step 2, example 6 of inputs is NaN") as told:
        train(
            network(),
            types.SimpleNamespace(train=batches, validation=None),
            Recipe(epochs=1, batch_size=8),
            workdir=tmp_path,
            on_nan=on_nan,
        )
    assert "learning rate" not in str(told.value)


def test_or_goes_back_and_on_with_half_the_rate(tmp_path, capsys):
    recipe = Recipe(epochs=3, batch_size=8, schedule="constant")
    result = trained(
        recipe, workdir=tmp_path, callbacks=[Spoil(3, 0.03)], on_nan="rollback"
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "rollback 1 of 5" in said and "rollback 2 of 5" in said
    assert "rollback 3" not in said and "back to epoch 1, step 0" in said
    rates = [row["learning_rate"] for row in result.history]
    assert rates == pytest.approx([0.025] * 3)
    assert np.isfinite(result.history[-1]["loss"])


def test_but_not_for_ever(tmp_path):
    with pytest.raises(NotFinite):
        trained(
            Recipe(epochs=1, batch_size=8),
            workdir=tmp_path,
            callbacks=[Spoil(1, 1e-9)],
            on_nan="rollback",
        )
    with pytest.raises(HHError, match="give a workdir"):
        trained(Recipe(epochs=1), on_nan="rollback")
    assert 0.5**ROLLBACKS < 0.04


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    recipe = Recipe(epochs=3, batch_size=8)
    save, saved = np.savez, []

    def full(*args, **kwargs):
        saved.append(1)
        if len(saved) > 2:
            raise OSError(28, "No space left on device")
        save(*args, **kwargs)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(WorkdirError, match="model-00003.*No space left on device"):
        trained(recipe, workdir=tmp_path)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["model-00001-0000000.npz", "model-00002-0000000.npz"]
    monkeypatch.undo()
    assert len(trained(recipe, workdir=tmp_path).history) == 3


def test_a_batch_without_examples_changes_nothing():
    """Such are left by damaged images."""
    recipe = Recipe(epochs=2, batch_size=8, weight_decay=0.0, momentum=0.0)
    data = images()
    with_empty = data.train.concatenate(
        data.train.take(1).map(lambda x, y: (x[:0], y[:0]))
    )
    for normalised in (False, True):
        model = network(normalised)
        other = types.SimpleNamespace(train=with_empty, validation=with_empty)
        rows = train(model, other, recipe).history
        assert all(np.isfinite(list(row.values())).all() for row in rows)
        assert all(np.isfinite(w).all() for w in model.get_weights())


def test_tensorboard_files_hold_the_curves(tmp_path):
    numbers = {"a": np.arange(5.0)}
    board = TensorBoard(tmp_path / "board", lambda: numbers)
    rows = trained(Recipe(epochs=2, batch_size=8), callbacks=[board]).history
    found = {}
    for path in (tmp_path / "board").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found[value.tag, event.step] = tf.make_ndarray(value.tensor)
    assert found["loss", 2] == pytest.approx(rows[1]["loss"], abs=1e-5)
    assert found["validation/accuracy", 1] == pytest.approx(
        rows[0]["val_accuracy"], abs=1e-5
    )
    assert ("learning_rate", 2) in found and ("a", 1) in found


def test_recipes_with_everything_survive_json():
    recipe = Recipe(
        ema=0.9, precision="mixed_float16", distill="sp", distill_layers="a,b=c",
        mixup=0.2, rand_augment=2, sync_batch_norm=True, patience=3, clip_norm=1.0,
    )  # fmt: skip
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert json.loads(recipe.to_json())["distill_weight"] is None


def test_what_is_not_known_is_never_the_best():
    def rows(*values):
        pairs = enumerate(values, 1)
        return [{"epoch": k, "loss": 1.0, "val_accuracy": v} for k, v in pairs]

    nan = float("nan")
    assert best_epoch(rows(nan, 0.9, 0.95)) == 3
    assert best_epoch(rows(0.2, nan, 0.1)) == 1
    assert not exhausted(rows(nan, 0.1, 0.2), 2)
    start = {"val_accuracy": nan, "val_loss": nan}
    found = [{**row, "val_loss": 1.0} for row in rows(0.1, nan)]
    assert best_epoch(found, start=start) == 1
