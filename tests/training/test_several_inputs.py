"""Networks of several images train like those of one."""

import keras
import numpy as np
import pytest

from hh_keras.errors import ModelError
from hh_keras.training import Recipe, pace, strategy
from hh_keras.training.features import block_ends
from hh_keras.training.recovery import recover
from hh_keras.training.trainee import weighted
from tests.siamese import pairs, siamese, train


def assert_same(one, two, tolerance=0.0):
    for mine, its in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(mine, its, atol=tolerance, err_msg=mine.path)


@pytest.mark.parametrize("nested", [False, True])
def test_it_learns(nested):
    recipe = Recipe(epochs=4, batch_size=8, optimizer="adam", learning_rate=0.02)
    rows = train(siamese(nested=nested), pairs(), recipe).history
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert rows[-1]["val_accuracy"] > 0.5


def test_two_replicas_train_as_one_device():
    recipe, data = Recipe(epochs=2, batch_size=12), pairs(37, 12)  # the last has 1
    one = train(siamese(), data, recipe, strategy("default"))
    both = train(siamese, data, recipe, strategy("mirrored", 2))
    assert both.model.distribute_strategy.num_replicas_in_sync == 2
    assert_same(one.model, both.model, 1e-5)
    for mine, its in zip(one.history, both.history, strict=True):
        assert mine["val_loss"] == pytest.approx(its["val_loss"], abs=1e-5)


def test_small_batches_are_filled_up():
    data = pairs(1)
    ((exemplars, searches), labels, weights), *_ = weighted(data.train, 2)
    assert (exemplars.shape, searches.shape) == ((2, 7, 7, 3), (2, 15, 15, 3))
    assert labels.shape == (2,) and weights.numpy().tolist() == [1, 0]


def test_several_steps_at_a_time():
    recipe = Recipe(epochs=2, batch_size=8)
    one, two = (
        train(siamese(), pairs(), recipe, steps_per_execution=n).model for n in (1, 3)
    )
    assert_same(one, two, 1e-6)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 3:
            raise KeyboardInterrupt


def test_it_goes_on_where_it_was(tmp_path):
    recipe, data = Recipe(epochs=2, batch_size=8), pairs()
    settings = {"workdir": tmp_path, "checkpoint_steps": 2}
    with pytest.raises(KeyboardInterrupt):
        train(siamese(), data, recipe, callbacks=[Interrupt()], **settings)
    resumed = train(siamese(), data, recipe, **settings)
    assert_same(resumed.model, train(siamese(), data, recipe).model)


@pytest.mark.filterwarnings("ignore:training model")  # of a busy machine
def test_within_a_time():
    recipe = Recipe(epochs=50, batch_size=8, minutes=0.02)
    assert train(siamese(), pairs(), recipe, never_worse=True).history


def test_callbacks_are_told_what_a_time_allows(monkeypatch):
    class Told(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.at_first = dict(self.params)

    monkeypatch.setattr(pace, "speed", lambda *args: (0.02, 0.1))
    monkeypatch.setattr(pace, "clock", lambda: 0.0)
    told = Told()
    recipe = Recipe(epochs=20, batch_size=8, minutes=0.01)
    rows = train(siamese(), pairs(), recipe, callbacks=[told]).history
    assert told.at_first["epochs"] == len(rows) != 20
    assert told.at_first["steps"] == told.params["steps"] > 0


@pytest.mark.parametrize(
    "distill, replicas", [("kd", 1), ("sp", 1), ("match", 1), ("match", 2)]
)
def test_a_teacher_of_two_images(distill, replicas):
    teacher = siamese(nested=distill == "sp", seed=3)
    layers = {"distill_layers": "dot"} if distill == "sp" else {}
    weight = {"feature_weight": 0.5} if distill == "match" else {}
    gentle = {"optimizer": "adam", "learning_rate": 1e-5, "weight_decay": 0.0}
    recipe = Recipe(
        epochs=1, batch_size=8, distill=distill, **layers, **weight, **gentle
    )
    settings = {"strategy": strategy("mirrored", 2)} if replicas == 2 else {}
    student = siamese(nested=distill == "sp", seed=3)
    rows = train(student, pairs(), recipe, teacher=teacher, **settings).history
    assert np.isfinite(rows[0]["loss"])
    if distill == "match":  # it is the teacher, so nothing is left to learn
        assert rows[0]["loss"] < 1e-3


def test_teachers_of_other_images():
    recipe = Recipe(epochs=1, batch_size=8, distill="match")
    with pytest.raises(ModelError, match=r"takes images of shape \(9, 9, 3\) and \(15"):
        train(siamese(), pairs(), recipe, teacher=siamese(exemplar=9))
    one = keras.Sequential([keras.Input((7, 7, 3)), keras.layers.Flatten()])
    with pytest.raises(ModelError, match="takes images"):
        train(siamese(), pairs(), recipe, teacher=one)


def test_features_of_both_calls_are_found():
    names = list(block_ends(siamese()))
    assert {"relu0", "relu0@1", "relu1", "relu1@1"} < set(names)


def test_recovery_is_of_one_image():
    with pytest.raises(ModelError, match="takes 2 inputs"):
        recover(siamese(), siamese(), np.zeros((4, 7, 7, 3)))
