"""A training that was interrupted ends as one that was not."""

import os
import signal

import keras
import numpy as np
import pytest

from hh_keras.data import load
from hh_keras.errors import Stopped, WorkdirError
from hh_keras.training import Recipe, checkpoints
from hh_keras.training.history import read_history
from hh_keras.training.stopping import termination
from tests.classifiers import train

L = keras.layers
RECIPE = Recipe(epochs=2, batch_size=8, augment="crop_flip", warmup_epochs=0.5)


def classifier():
    """With statistics, slots and random states to keep."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((28, 28, 1))
    x = L.Conv2D(4, 3, strides=2, use_bias=False)(L.Rescaling(1 / 255)(inputs))
    x = L.ReLU()(L.BatchNormalization()(x))
    x = L.Dropout(0.2, seed=3)(L.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, L.Dense(10)(x))


@pytest.fixture(scope="module")
def data():
    return load("embedded", batch_size=8, augment="crop_flip", limit=60)


@pytest.fixture(scope="module")
def undisturbed(data):
    model = classifier()
    return model, train(model, data, RECIPE).history


class Interrupt(keras.callbacks.Callback):
    """Calls a function behind so many steps."""

    def __init__(self, step, what):
        super().__init__()
        self.left, self.what = step, what

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            self.what()


def raise_interrupt():
    raise KeyboardInterrupt


def ask_to_stop():
    os.kill(os.getpid(), signal.SIGTERM)


def same(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def check(model, rows, undisturbed):
    other, other_rows = undisturbed
    for mine, its in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(mine, its, err_msg=mine.path)
    assert same(rows) == same(other_rows)


@pytest.mark.parametrize("step", [1, 4, 8, 11, 16])
def test_killed_at_a_step(step, data, undisturbed, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        callback = Interrupt(step, raise_interrupt)
        train(
            classifier(),
            data,
            RECIPE,
            None,
            tmp_path,
            "a",
            callbacks=[callback],
            checkpoint_steps=3,
        )
    model = classifier()
    rows = train(model, data, RECIPE, None, tmp_path, "a", checkpoint_steps=3).history
    check(model, rows, undisturbed)
    assert same(read_history(tmp_path, "a")) == same(rows)
    assert len(checkpoints.found(tmp_path / "checkpoints", "a")) == 2


def test_asked_to_stop(data, undisturbed, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="epoch 2, step 3.*go on"):
        train(
            classifier(),
            data,
            RECIPE,
            workdir=tmp_path,
            callbacks=[Interrupt(11, ask_to_stop)],
        )
    assert signal.getsignal(signal.SIGTERM) is before
    model = classifier()
    check(model, train(model, data, RECIPE, workdir=tmp_path).history, undisturbed)


def test_a_request_that_comes_with_the_last_step_is_passed_on():
    came = []
    before = signal.signal(signal.SIGTERM, lambda *_: came.append("outside"))
    try:
        with termination() as asked:
            ask_to_stop()
            assert asked.wait(10) and not came
        assert came == ["outside"]
        with pytest.raises(Stopped), termination():
            ask_to_stop()
            raise Stopped("saved")
        assert came == ["outside"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_finished_training_is_not_repeated(data, undisturbed, tmp_path):
    train(classifier(), data, RECIPE, workdir=tmp_path)
    model = classifier()
    seen = Interrupt(1, raise_interrupt)
    check(
        model,
        train(model, data, RECIPE, workdir=tmp_path, callbacks=[seen]).history,
        undisturbed,
    )


def test_a_damaged_checkpoint_is_passed_over(data, undisturbed, tmp_path):
    train(classifier(), data, RECIPE, workdir=tmp_path, checkpoint_steps=3)
    newest, older = checkpoints.found(tmp_path / "checkpoints", "model")
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 255
    newest.write_bytes(content)
    model = classifier()
    with pytest.warns(UserWarning, match=newest.name):
        check(model, train(model, data, RECIPE, workdir=tmp_path).history, undisturbed)


def test_another_training_is_refused_unless_it_starts_anew(data, tmp_path):
    train(classifier(), data, RECIPE, workdir=tmp_path)
    other = Recipe(epochs=1, batch_size=8)
    with pytest.raises(WorkdirError, match="another training"):
        train(classifier(), data, other, workdir=tmp_path)
    assert (
        len(train(classifier(), data, other, workdir=tmp_path, resume=False).history)
        == 1
    )
