"""The time that a run forecasts follows from what it has measured."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from hh_keras.cli import forecast
from hh_keras.cli.workdir import Run
from hh_keras.training import Recipe
from hh_keras.training.history import write_history

AROUND = 3 * 0.5 + 2.5
AFTER = 32 * 0.5 + 5 + 2 * 0.5 + 2


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A forecast of a run whose second network takes twice as long an image."""
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    (tmp_path / "initial").mkdir()
    for name in ("original", "lw_dna"):
        model.save(tmp_path / f"initial/{name}.keras")
    monkeypatch.setattr(forecast, "probe", lambda *_: (0.5, [0.001, 0.002]))
    images = np.zeros((100, 2, 2, 1), "float32")
    data = types.SimpleNamespace(
        train=tf.data.Dataset.from_tensor_slices((images, np.zeros(100))).batch(10),
        num_train=100,
        num_validation=0,
    )

    def made(stages=(), epochs=4, resume=True, minutes=0.0):
        run = Run(tmp_path, {}, {"search": {}, **dict(stages)})
        args = types.SimpleNamespace(resume=resume)
        monkeypatch.setattr(forecast, "original_teaches", lambda args: False)
        recipe = Recipe(epochs=epochs, minutes=minutes)
        return forecast.Forecast(run, data, recipe, args)

    return made


def test_before_anything_is_known_forward_passes_tell(make):
    original = 6 * 0.5 + 4 * 4 * 100 * 0.001 + AROUND
    slim = 6 * 0.5 + 4 * 4 * 100 * 0.002 + AROUND
    assert make().left() == pytest.approx(original + slim + AFTER)


def test_the_first_training_forecasts_the_second(make):
    found = make()
    told = found.learn("original")(30.0, 50.0)  # 30 of 50 seconds are left
    assert told == pytest.approx(30 + 1.5 * AROUND + 2 * 50 + AFTER)
    stages = {"train original": {"train_seconds": 60.0}}
    assert make(stages).left() == pytest.approx(2 * 60 + AROUND + AFTER)
    stages |= {"train lw_dna": {"train_seconds": 110.0}, "export": {}}
    assert make(stages).left() == pytest.approx(2 * 0.5 + 2)


def test_a_resumed_training_counts_what_is_left(make, tmp_path):
    rows = [{"epoch": k, "loss": 1.0, "seconds": s} for k, s in ((1, 9), (2, 7))]
    write_history(rows, tmp_path, "lw_dna")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/lw_dna-00002-0000005.npz").write_bytes(b"")
    stages = {"train original": {"train_seconds": 60.0}}
    left = (4 - 2.5) * 8  # half of the third of four epochs of 8 seconds is done
    assert make(stages).left() == pytest.approx(left + AROUND + AFTER)
    assert make(stages, minutes=1.0).left() == pytest.approx(60 - 16 + AROUND + AFTER)
    anew = make(stages, resume=False).left()
    assert anew == pytest.approx(2 * 60 + AROUND + AFTER)


def test_a_probe_tells_a_wider_network_apart():
    def network(width):
        layer = keras.layers.Conv2D(width, 3, padding="same")
        return keras.Sequential([keras.Input((32, 32, 8)), layer])

    images = np.zeros((16, 32, 32, 8), "float32")
    trace, (small, large) = forecast.probe([network(4), network(256)], images)
    assert trace >= 0 and 0 < small < large
