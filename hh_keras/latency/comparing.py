"""Whole networks against each other, measured."""

from collections.abc import Sequence

import keras
import numpy as np

from hh_keras.latency.building import convert
from hh_keras.latency.measuring import time_files, typical


def compare(
    models: Sequence[keras.Model],
    quantize: str = "float32",
    threads: int = 1,
    rounds: int = 50,
) -> tuple[np.ndarray, np.ndarray]:
    """Times networks in turns, through LiteRT.

    Their weights do not matter, so networks that are not trained yet can be compared.

    Args:
        models: Keras models of known input size, or the bytes of `.tflite` files.
        quantize: "float32" or "int8".
        threads: of the interpreter.
        rounds: timed runs of each.

    Returns:
        `(milliseconds, ratios)`, float arrays `(models,)`: typical times, and these
        divided by the first model's. Where other programs break into many of the runs,
        ratios of typical times stay within 3 %, ratios of single rounds do not.

    Examples:
        >>> milliseconds, ratios = hh_keras.latency.compare([model, small], rounds=5)
        >>> milliseconds.shape, float(ratios[0])
        ((2,), 1.0)
    """
    contents = [m if isinstance(m, bytes) else convert(m, quantize) for m in models]
    found = typical(time_files(contents, threads, rounds, twice=True))
    return found, found / found[0]
