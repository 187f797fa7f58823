"""Measured time of one image through a model."""

import dataclasses
import time

import numpy as np

from hh_keras.export.prediction import open_model


@dataclasses.dataclass(frozen=True)
class Latency:
    """Time of one image through a model, over repeated runs.

    Attributes:
        median_ms: median in milliseconds.
        p10_ms: 10th percentile in milliseconds.
        p90_ms: 90th percentile in milliseconds.
        runs: number of timed runs.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int


def latency(path, image_shape, runs=50, warmup=5, threads=1):
    """Times one image through a model or an exported file on this machine.

    Args:
        path: `.tflite` file, SavedModel directory, `.keras` file or Keras model.
        image_shape: `(height, width, channels)`.
        runs: timed runs.
        warmup: runs before them, not timed.
        threads: of the `.tflite` interpreter; the other kinds use TensorFlow's own
            setting.

    Returns:
        A `Latency`.

    Raises:
        ModelError: no such file, or a corrupt one.
    """
    return latencies([path], image_shape, runs, warmup, threads)[0]


def latencies(paths, image_shape, runs=50, warmup=5, threads=1):
    """Times several models in turns, so that their ratios hold on a busy machine.

    Every round runs each model once, starting with another one each time: whatever
    slows the machine down for a while slows all of them.

    Args:
        paths: models as for `latency`.
        image_shape: `(height, width, channels)`, the same for all.
        runs: rounds.
        warmup: rounds before them, not timed.
        threads: as for `latency`.

    Returns:
        A list of `Latency` in the order of `paths`.

    Raises:
        ModelError: no such file, or a corrupt one.
        ValueError: `runs` is not positive.
    """
    if runs < 1:
        raise ValueError(f"runs must be at least 1; got {runs}.")
    models = [open_model(path, threads) for path in paths]
    image = np.random.default_rng(0).uniform(0, 255, (1, *image_shape))
    inputs = [image.astype("float32")]
    seconds = np.zeros((len(models), warmup + runs))
    for round_ in range(warmup + runs):
        for turn in range(len(models)):
            index = (turn + round_) % len(models)
            start = time.perf_counter()
            models[index](inputs)
            seconds[index, round_] = time.perf_counter() - start
    return [_summary(row[warmup:] * 1000) for row in seconds]


def _summary(milliseconds):
    p10, median, p90 = np.percentile(milliseconds, [10, 50, 90])
    return Latency(float(median), float(p10), float(p90), len(milliseconds))
