import io
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import hh_keras
from hh_keras import HHError
from hh_keras import progress as module
from hh_keras.progress import duration, progress, redraws, shown
from hh_keras.training import Recipe, Task, train


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Notebook(io.StringIO):
    """As what a kernel of Jupyter or Colab has for standard output and error."""

    __module__ = "ipykernel.iostream"


@pytest.fixture
def moving(monkeypatch):
    """A clock that moves by hand, and no memory of what was shown before."""
    now = [100.0]
    monkeypatch.setattr(module, "clock", lambda: now[0])
    monkeypatch.setattr(module, "_waiting", module.Waiting())
    return now


@pytest.mark.parametrize("screen", [Terminal(), Notebook(), io.StringIO()])
def test_what_is_short_shows_where_a_bar_is_redrawn(monkeypatch, screen):
    monkeypatch.setattr(sys, "stderr", screen)
    assert list(progress(range(3), "counting")) == [0, 1, 2]
    with progress(None, "moving", 2) as bar:
        bar.update(1.5)
    seen = screen.getvalue()
    assert ("counting" in seen and "moving" in seen) == redraws(screen)
    assert seen.endswith("\r") if redraws(screen) else not seen  # and it goes


@pytest.mark.parametrize("verbose, bars", [(0, False), (1, True), (2, False)])
@pytest.mark.parametrize("screen", [Terminal, io.StringIO])
def test_what_is_asked_for_is_shown_anywhere(monkeypatch, screen, verbose, bars):
    monkeypatch.setattr(sys, "stderr", screen())
    monkeypatch.setattr(module, "EVERY", 0.0)
    with shown(verbose), shown("auto"):  # which leaves it to what is around
        assert list(progress(range(3), "counting")) == [0, 1, 2]
    seen = sys.stderr.getvalue()
    assert ("|" in seen) == bars and len(seen.splitlines()) >= 3 * (verbose > 0)
    assert verbose or not seen
    with pytest.raises(HHError, match="choose 0 .silent., 1 .bars., 2"), shown(3):
        pass


@pytest.fixture
def network():
    head = [keras.layers.Flatten(), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((4, 4, 1)), *head])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("verbose, terminal", [(0, 0), (1, 0), (1, 1), (2, 0)])
def test_a_training_is_as_loud_as_wanted(monkeypatch, network, verbose, terminal):
    images = np.random.default_rng(0).normal(size=(16, 4, 4, 1)).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((images, np.arange(16) % 2)).batch(8)
    data = types.SimpleNamespace(train=batches, validation=None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    screen = io.StringIO()
    screen.isatty = lambda: bool(terminal)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, screen)
    train(network, data, Recipe(epochs=1), verbose=verbose, task=Task(loss=loss))
    seen = screen.getvalue()
    assert ("2/2" in seen) == (verbose == 1)  # the bar
    # It says all that the line does, but when the training will end.
    assert ("epoch 1/1" in seen) == (verbose == 2 or bool(terminal))
    assert verbose or not seen


def test_so_is_all_else_that_takes_long(monkeypatch, network):
    images, said = np.zeros((20, 4, 4, 1), "float32"), []

    def shrink_each(*_, **__):
        said.append(module.verbosity(sys.stderr))
        return [None]

    monkeypatch.setattr("hh_keras.search.shrink.shrink_each", shrink_each)
    hh_keras.shrink(network, verbose=1)
    hh_keras.sweep(network, calibration=images, verbose=0)

    def training(*_, verbose, **__):
        said.append(verbose)

    monkeypatch.setattr("hh_keras.training.recovery.train", training)
    hh_keras.recover(network, network, images, verbose=0)
    assert said == [1, 0, 0]


def test_a_line_every_ten_seconds_elsewhere(moving, capsys):
    for _ in progress(range(10), "learning"):
        moving[0] += 4
    lines = capsys.readouterr().err.splitlines()
    # After 12, 24 and 36 of 40 seconds.
    assert lines == [
        "  learning: 30 %, about 28 s to go",
        "  learning: 60 %, about 16 s to go",
        "  learning: 90 %, about 4 s to go",
    ]
    moving[0] += 100
    for _ in progress((i for i in range(3)), "unknown"):
        moving[0] += 6
    assert capsys.readouterr().err == "  unknown: 2 done\n"


def test_many_short_computations_count_as_one(moving, capsys):
    for _ in range(8):
        with progress(None, "mending", 2.0) as bar:
            moving[0] += 3
            bar.update(1.0)
    assert len(capsys.readouterr().err.splitlines()) == 2
    moving[0] += 60  # something else; then a wait begins anew
    assert list(progress([1], "mending")) == [1] and not capsys.readouterr().err


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (78, "1 min 20 s"), (119, "2 min")]
    + [
        (596, "10 min"),
        (594, "9 min 50 s"),
        (3599, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_are_as_exact_as_they_are_known(seconds, text):
    assert duration(seconds) == text
