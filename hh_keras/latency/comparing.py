"""Whole networks against each other, measured."""

import numpy as np

from hh_keras.latency.building import convert
from hh_keras.latency.measuring import time_files, typical


def compare(models, quantize="float32", threads=1, rounds=50):
    """Times networks in turns, through LiteRT.

    Their weights do not matter, so networks that are not trained yet can be compared.

    Args:
        models: Keras models of known input size.
        quantize: "float32" or "int8".
        threads: of the interpreter.
        rounds: timed runs of each.

    Returns:
        `(milliseconds, ratios)`, float arrays `(models,)`: typical times, and the
        median over the rounds of the time divided by the first model's.
    """
    contents = [convert(model, quantize) for model in models]
    milliseconds = time_files(contents, threads, rounds, again=True)
    return typical(milliseconds), np.median(milliseconds / milliseconds[0], axis=1)
