"""Timing many small files in turns."""

from collections.abc import Sequence

import numpy as np

from hh_keras.export.timing import in_turns, timed_run

_WARMUP, _SECONDS = 3, 1.0


def time_files(
    contents: Sequence[bytes], threads: int = 1, rounds: int = 30, twice: bool = False
) -> np.ndarray:
    """Times `.tflite` contents in turns.

    Each round runs every file once, so that a layer finds its input in the cache and
    its weights mostly not, as within a network. Rounds go on for a second at least:
    shorter ones could all fall into a moment in which the machine is busy.

    Args:
        contents: list of bytes.
        threads: of the interpreter.
        rounds: least number of timed runs of each.
        twice: each turn runs the file twice and times the second: as if it ran alone.

    Returns:
        Milliseconds, float array `(files, rounds or more)`.
    """
    runners = [timed_run(content, threads) for content in contents]
    return in_turns(runners, rounds, _SECONDS, _WARMUP, twice)


def typical(milliseconds: np.ndarray) -> np.ndarray:
    """The median of the faster half of the runs, `(files,)`.

    Other programs make runs longer and never shorter.
    """
    return np.percentile(milliseconds, 25, axis=1)
