"""Timing many small files in turns."""

import time

import numpy as np

from hh_keras.export.prediction import interpreter_class
from hh_keras.export.quiet import quiet


def time_files(contents, threads=1, rounds=30, again=False):
    """Times `.tflite` contents in turns.

    Each round runs every file once, so that a layer finds its input in the cache and
    its weights mostly not, as within a network. Rounds go on for a second at least:
    shorter ones could all fall into a moment in which the machine is busy.

    Args:
        contents: list of bytes.
        threads: of the interpreter.
        rounds: least number of timed runs of each.
        again: each turn runs the file twice and times the second: as if it ran alone.

    Returns:
        Milliseconds, float array `(files, rounds or more)`.
    """
    with quiet():
        runs = [_runner(content, threads) for content in contents]
    taken, started = [], time.perf_counter()
    while len(taken) < _WARMUP + rounds or time.perf_counter() - started < _SECONDS:
        row = []
        for run in runs:
            if again:
                run()
            row.append(run())
        taken.append(row)
    return np.array(taken[_WARMUP:]).T


_WARMUP, _SECONDS = 3, 1.0


def typical(milliseconds):
    """The median of the faster half of the runs, `(files,)`.

    Other programs make runs longer and never shorter.
    """
    return np.percentile(milliseconds, 25, axis=1)


def _runner(content, threads):
    interpreter = interpreter_class()(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    inputs = [
        (d["index"], np.ones(d["shape"], d["dtype"]))
        for d in interpreter.get_input_details()
    ]

    def run():
        for index, array in inputs:
            interpreter.set_tensor(index, array)
        started = time.perf_counter()
        interpreter.invoke()
        return (time.perf_counter() - started) * 1000

    return run
