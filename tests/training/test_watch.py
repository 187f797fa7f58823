"""What is left of a training, by how long its parts took."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras import progress
from hh_keras.tasks.classification.task import TASK
from hh_keras.training import Recipe, train, watch


@pytest.fixture
def now(monkeypatch):
    found = [0.0]
    monkeypatch.setattr(watch, "clock", lambda: found[0])
    return found


def epoch(watched, now, first, each, tests=(), rest=0.0):
    watched.begin_epoch()
    for step in range(watched.steps):
        now[0] += each if step else first
        watched.stepped(step + 1)
    watched.test.begin()
    for k, seconds in enumerate(tests):
        now[0] += seconds
        watched.test.done(k + 1)
    watched.end_validation()
    now[0] += rest
    watched.end_epoch()


def test_compilation_is_not_forecast_twice(now):
    watched = watch.Watch(steps=10, tests=2)
    now[0] += 3  # before the first step
    epoch(watched, now, first=21, each=1, tests=(6, 0.5), rest=2)
    # 10 steps, 2 batches of validation, 2 seconds of files in each of 4 more epochs.
    assert watched.left(0.0, 4, 5) == pytest.approx(4 * (10 + 1 + 2))
    seen = []
    watched.to_go = lambda left, whole: seen.append(whole) or left
    watched.left(0.0, 4, 5)
    assert seen == [pytest.approx(3 + 20 + 5.5 + 5 * 13)]


def test_within_an_epoch_the_rest_of_it_counts(now):
    watched = watch.Watch(steps=10, tests=4)
    watched.begin_epoch()
    now[0] += 7
    watched.stepped(1)
    assert not watched.step.known  # one step that also compiled tells nothing
    now[0] += 2
    watched.stepped(3)
    # Seven steps of a second; four batches at a quarter; compiling, a third of six.
    assert watched.in_epoch(3) == pytest.approx(7 + 1 + 2)
    epoch(watched, now, first=3, each=1, tests=(1, 1, 1, 1))
    watched.begin_epoch()
    now[0] += 3
    watched.stepped(1)
    assert watched.in_epoch(10, tests=3) == pytest.approx(1)
    assert watched.left(0.0, 1, 2) == pytest.approx(3 + 9 + 4)


def test_a_machine_that_slows_down_is_noticed(now):
    watched = watch.Watch(steps=100)
    for each in (1, 2, 2):
        epoch(watched, now, first=each, each=each)
    assert 1.75 < watched.step.each <= 2


def fit(validation):
    """Two epochs of four steps."""
    draw = np.random.default_rng(0)
    images = draw.normal(size=(16, 4, 4, 1)).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((images, np.arange(16) % 2)).batch(4)
    data = types.SimpleNamespace(
        train=batches, validation=batches if validation else None
    )
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    train(model, data, Recipe(epochs=2, batch_size=4), name="tiny", task=TASK)


@pytest.mark.parametrize("validation", [False, True])
def test_lines_within_an_epoch(monkeypatch, capsys, validation):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    fit(validation)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("  tiny: epoch 1/2, 25 %  loss ")
    assert "to go" not in lines[0] and "to go" in lines[1]
    assert any("accuracy" in line and "epoch 2/2, 50 %" in line for line in lines)
    assert any("validating" in line for line in lines) == validation
    assert max(map(len, lines)) <= 88


def test_short_epochs_say_nothing_within(capsys):
    fit(validation=True)
    assert len(capsys.readouterr().out.splitlines()) == 2
