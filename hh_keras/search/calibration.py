"""Calibration: a trained network, unlabelled inputs, and what they tell of channels."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from hh_keras.errors import SearchError
from hh_keras.graph.channels import ChannelMap
from hh_keras.search.distance import output_distance
from hh_keras.surgery.moments import Moments, collect
from hh_keras.surgery.readers import readers

_BATCH = 32


def calibration_moments(
    model: keras.Model, channel_map: ChannelMap, data: Any, batches: int | None = None
) -> dict[str, Moments]:
    """Second moments of what every kernel reads, and how much its outputs matter.

    Args:
        model: the traced model; it runs in inference mode and is not changed.
        channel_map: its channels.
        data: an array of inputs, or an iterable of batches of `x`, `(x, y)` or
            `(x, y, sample_weight)`; labels are not looked at.
        batches: how many to read; None reads all.

    Returns:
        Layer name → `Moments`.

    Raises:
        SearchError: no data, data that does not fit the model, or activations that are
            not finite.
    """
    distance = output_distance(model)
    inputs = _inputs(data, batches)
    try:
        return collect(model, readers(channel_map), inputs, distance)
    except SearchError:
        raise
    except Exception as error:  # a user's data may raise anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise SearchError(
            f"model '{model.name}' does not run on the calibration data: "
            f"{' '.join(lines[-1:])[:200]} ({type(error).__name__})."
        ) from error


def _inputs(data: Any, batches: int | None) -> Iterator:
    """The inputs of some batches, without labels and weights."""
    if isinstance(data, np.ndarray):
        data = [data[i : i + _BATCH] for i in range(0, len(data), _BATCH)]
    each: Iterable = data
    for number, batch in enumerate(each):
        if number == batches:
            return
        inputs = keras.utils.unpack_x_y_sample_weight(batch)[0]
        yield keras.tree.map_structure(_as_float, inputs)


def _as_float(x):
    """Pixels in bytes are numbers to a network."""
    return x.astype("float32") if getattr(x, "dtype", None) == np.uint8 else x
