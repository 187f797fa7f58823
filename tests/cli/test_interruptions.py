"""Training processes that are killed and started again, at moments drawn at random."""

import json
import pathlib
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from tests.cli.in_process import run

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = (
    "--limit=800", "--epochs=12", "--batch_size=8", "--augment=crop_flip",
    "--model=tests.cli.test_bad_input:classifier", "--checkpoint_steps=7",
)  # fmt: skip
KILLS = 3


def start(out, *flags):
    flags = (*FLAGS, *flags, f"--workdir={out}")
    command = [sys.executable, "-u", "launch/train.py", *flags]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(out, *flags):
    done = run("train", *FLAGS, *flags, f"--workdir={out}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def weights(out):
    return keras.models.load_model(out / "model.keras").get_weights()


@pytest.mark.slow
def test_killed_again_and_again(tmp_path):
    """SIGKILL hits training, validation, and the writing of checkpoints."""
    out, other = tmp_path / "killed", tmp_path / "whole"
    finish(other)
    draw = random.Random(0)
    for kill in range(KILLS):
        process, since = start(out), time.perf_counter()
        for line in process.stdout:
            now = time.perf_counter()
            if f"epoch {3 * kill + 2}/" in line:
                break
            since = now
        # Somewhere in the epoch that follows, which takes as long as the last one.
        time.sleep(draw.random() * (now - since))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert "going on from there" in finish(out)
    for mine, its in zip(weights(out), weights(other), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert not list(out.glob("**/.*")) and not list((out / "checkpoints").iterdir())
    mine, its = (json.loads((p / "results.json").read_text()) for p in (out, other))
    assert mine == its


def test_asked_to_stop(tmp_path):
    process = start(tmp_path / "run", "--epochs=4")
    for line in process.stdout:
        if "epoch 1/" in line:
            break
    time.sleep(0.2)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75 and "start it again" in errors
    assert "going on from there" in finish(tmp_path / "run", "--epochs=4")


SLOW = """
import time
import keras
import numpy as np
import tensorflow as tf
from hh_keras.training import Task

X, Y = np.ones((64, 6), "float32"), np.ones((64, 1), "float32")


class Slow(keras.utils.PyDataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        time.sleep(0.05)
        return X[:8], Y[:8]


def late(x):
    time.sleep(0.05)
    return x


def mapped():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    shaped = lambda x: tf.ensure_shape(
        tf.numpy_function(late, [x], tf.float32), (None, 6)
    )
    return data.map(lambda x, y: (shaped(x), y))


def build():
    image = keras.Input((6,))
    return keras.Model(image, keras.layers.Dense(1)(image))


OF_BATCHES = Task(loss="mse", data=lambda: (Slow(), Slow()))
MAPPED = Task(loss="mse", data=lambda: (mapped(), mapped()))
"""


@pytest.mark.parametrize("task", ["OF_BATCHES", "MAPPED"])
def test_asked_to_stop_while_python_reads(task, tmp_path, monkeypatch):
    """TensorFlow's threads must not wait for an interpreter that is gone."""
    (tmp_path / "slow_reading.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}")
    flags = [f"--task=slow_reading:{task}", "--model=slow_reading:build"]
    flags += ["--epochs=999", f"--workdir={tmp_path / 'run'}"]
    process = subprocess.Popen(
        [sys.executable, "-u", "launch/train.py", *flags],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if "epoch 2/" in line:
            break
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75 and "start it again" in errors


@pytest.mark.slow
def test_output_that_nobody_reads_any_more(tmp_path):
    """As `| head -1` does: no stack trace, and no word of an error."""
    command = [sys.executable, "launch/train.py"]
    for flags, status in ((("--help",), 0), ((*FLAGS, f"--workdir={tmp_path}"), 141)):
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*command, *flags], cwd=ROOT, stdout=pipe, stderr=pipe, text=True
        )
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() == status
        assert "Error" not in said and ("was closed" in said) == (status != 0)
