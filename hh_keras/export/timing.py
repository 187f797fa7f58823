"""How long a model takes, by one clock for every kind of file."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.export.prediction import input_specs, interpreter_class, open_model
from hh_keras.export.quiet import quiet


@dataclasses.dataclass(frozen=True)
class Latency:
    """Time of one run of a model, over repeated runs, in milliseconds.

    Attributes:
        median_ms: median.
        p10_ms, p90_ms, p99_ms: percentiles.
        runs: number of timed runs.
        ratio: the median over the rounds of this model's time divided by that of the
            first model in the same round.
        ratio_p25, ratio_p75: the middle half of those ratios.

    Examples:
        >>> found = hh_keras.export.latency(model, runs=5)
        >>> 0 < found.p10_ms <= found.median_ms <= found.p99_ms
        True
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    p99_ms: float
    runs: int
    ratio: float = 1.0
    ratio_p25: float = 1.0
    ratio_p75: float = 1.0


def latency(
    path: str | Path, image_shape: tuple | None = None, **settings: Any
) -> Latency:
    """Times a model or an exported file on this machine.

    Args:
        path: as one of `latencies`.
        image_shape, **settings: as for `latencies`.

    Returns:
        A `Latency`.

    Examples:
        >>> hh_keras.export.latency(model, runs=5).median_ms > 0
        True
    """
    return latencies([path], image_shape, **settings)[0]


def latencies(
    paths: Sequence[str | Path],
    image_shape: tuple | None = None,
    runs: int = 50,
    warmup: int = 5,
    threads: int = 1,
    seconds: float = 0.0,
    batch: int = 1,
) -> list[Latency]:
    """Times several models in turns, so that their ratios hold on a busy machine.

    The models may differ in kind and in input. The clock starts when the input is in
    the runtime's memory and stops when the output is; pixels are random.

    Args:
        paths: `.tflite` files, SavedModel directories, `.keras` files, Keras models.
        image_shape: `(height, width, channels)`, for inputs whose size is open; of
            several inputs, a tuple of theirs. None in it is the model's business.
        runs: least number of rounds; each runs every model once.
        warmup: rounds before them, not timed.
        threads: of the runtimes, but for TensorFlow, which has a setting of its own.
        seconds: rounds go on for so long at least.
        batch: examples at once, where the file leaves it open.

    Returns:
        A list of `Latency` in the order of `paths`.

    Raises:
        ModelError: no such file, a corrupt one, or one whose input cannot be made up.
        ValueError: `runs` is not positive.

    Examples:
        >>> original, smaller = hh_keras.export.latencies([model, small], runs=5)
        >>> original.ratio, smaller.runs
        (1.0, 5)
    """
    runners = [timed_run(path, threads, batch, image_shape) for path in paths]
    milliseconds = in_turns(runners, runs, seconds, warmup)
    return [_summary(row, row / milliseconds[0]) for row in milliseconds]


def in_turns(
    runners: Sequence[Callable],
    rounds: int,
    seconds: float = 0.0,
    warmup: int = 5,
    twice: bool = False,
) -> np.ndarray:
    """Runs several things in turns, starting with another one in each round.

    Whatever slows the machine down for a while slows all of them.

    Args:
        runners: functions that run once and return milliseconds, as `timed_run` makes
            them.
        rounds: least number of timed rounds.
        seconds: rounds go on for so long at least.
        warmup: rounds before them.
        twice: each turn runs twice and the second counts: as if it ran alone.

    Returns:
        Milliseconds, float array `(runners, rounds or more)`.

    Raises:
        ValueError: `rounds` is not positive.
    """
    if rounds < 1:
        raise ValueError(f"runs must be at least 1; got {rounds}.")
    taken, started = [], time.perf_counter()
    for round_ in range(-warmup, 2**62):
        if round_ == 0:
            started = time.perf_counter()
        if round_ >= rounds and time.perf_counter() - started >= seconds:
            break
        row = np.zeros(len(runners))
        for turn in range(len(runners)):
            index = (turn + round_) % len(runners)
            if twice:
                runners[index]()
            row[index] = runners[index]()
        if round_ >= 0:
            taken.append(row)
    return np.array(taken).T


def timed_run(
    model: Any, threads: int = 1, batch: int = 1, image_shape: tuple | None = None
) -> Callable:
    """Opens a model for timing; the arguments are those of `latencies`.

    Args:
        model: what `latencies` takes, or the bytes of a `.tflite` file.

    Returns:
        A function without arguments that runs it once and returns milliseconds.
    """
    if isinstance(model, bytes):
        return _tflite_run({"model_content": model}, "file", threads)
    sizes = input_sizes(model, batch, image_shape)
    name = model.name if isinstance(model, keras.Model) else Path(model)
    if isinstance(name, Path) and name.suffix == ".tflite":
        return _tflite_run({"model_path": str(name)}, name, threads, sizes)
    run = open_model(model, threads)
    inputs = [tf.constant(_pixels(shape, kind, name)) for shape, kind in sizes]

    def timed():
        started = time.perf_counter()
        run(inputs)
        return (time.perf_counter() - started) * 1000

    return timed


def _tflite_run(given, name, threads, sizes=()):
    try:
        with quiet():
            interpreter = interpreter_class()(num_threads=threads, **given)
            for detail, (shape, _) in zip(interpreter.get_input_details(), sizes):
                if tuple(detail["shape"]) != shape:
                    interpreter.resize_tensor_input(detail["index"], shape)
            interpreter.allocate_tensors()
    except Exception as error:  # such as operations that the runtime lacks
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{name} cannot be run: {reason}") from error
    inputs = [
        (detail["index"], _pixels(detail["shape"], np.dtype(detail["dtype"]), name))
        for detail in interpreter.get_input_details()
    ]

    def timed():
        for index, array in inputs:
            interpreter.set_tensor(index, array)
        started = time.perf_counter()
        interpreter.invoke()
        return (time.perf_counter() - started) * 1000

    return timed


def input_sizes(model: Any, batch: int = 1, image_shape: tuple | None = None) -> list:
    """What a model is given to be timed; the arguments are those of `latencies`.

    Returns:
        A list of `(shape, dtype)`, one per input: the shape with the batch.

    Raises:
        ModelError: a size is open and `image_shape` does not say what it is.

    Examples:
        >>> hh_keras.export.input_sizes(model)
        [((1, 8, 8, 3), dtype('float32'))]
    """
    found, specs = [], input_specs(model)
    shapes: Any = [image_shape or ()] * len(specs)
    if image_shape and isinstance(image_shape[0], (tuple, list)):
        shapes = image_shape
    for ((first, *rest), dtype), shape in zip(specs, shapes, strict=True):
        if len(rest) == len(shape):
            rest = [b if a is None else a for a, b in zip(rest, shape)]
        if None in rest:
            name = model.name if isinstance(model, keras.Model) else model
            raise ModelError(
                f"{name} takes inputs of any size; say which to time: image_size."
            )
        found.append(((batch if first is None else first, *rest), dtype))
    return found


def _pixels(shape, dtype, name):
    """An input of that kind: random pixels, or zeros where integers may be indices."""
    draw = np.random.default_rng(0)
    if dtype in (np.int8, np.uint8):
        limits = np.iinfo(dtype)
        return draw.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    if np.issubdtype(dtype, np.floating):
        return draw.uniform(0, 255, shape).astype(dtype)
    if np.issubdtype(dtype, np.integer) or dtype == np.bool_:
        return np.zeros(shape, dtype)
    raise ModelError(f"{name} takes {dtype} inputs; only numbers can be made up.")


def _summary(milliseconds, ratios):
    p10, median, p90, p99 = np.percentile(milliseconds, [10, 50, 90, 99]).tolist()
    low, ratio, high = np.percentile(ratios, [25, 50, 75]).tolist()
    return Latency(median, p10, p90, p99, len(milliseconds), ratio, low, high)
