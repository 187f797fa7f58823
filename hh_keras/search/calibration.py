"""Calibration: a trained network, unlabelled inputs, and what they tell of channels."""

import dataclasses
import itertools
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import HHError, SearchError
from hh_keras.export.float32 import computing_in_float32
from hh_keras.graph.calls import as_graph
from hh_keras.graph.channels import ChannelMap
from hh_keras.progress import progress
from hh_keras.search.checks import (
    check_slopes,
    check_weights,
    checked,
    warn_of_few,
    watched,
)
from hh_keras.search.distance import output_distance
from hh_keras.surgery.moments import Moments, collect
from hh_keras.surgery.readers import readers

FEW = 10  # batches
HELD_OUT_EVERY = 5
HELD_OUT = 128  # examples
KEPT_BYTES = 1 << 30
_BATCH = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """What calibration data tell of a network, and some that were not looked at.

    Attributes:
        moments: layer name → `Moments`.
        batches: of the inputs that those are of, each a flat list; as many as fit into
            `KEPT_BYTES`.
        probe: batches of inputs to measure on, each a flat list.
        held_out: whether the moments are of other inputs than those.
    """

    moments: dict[str, Moments]
    batches: list
    probe: list
    held_out: bool


def calibrate(
    model: keras.Model, channel_map: ChannelMap, data: Any, batches: int | None = None
) -> Calibration:
    """Collects moments, and keeps every fifth batch to measure on.

    Fewer than `FEW` batches are cut into smaller ones first, if the model takes these.
    At most `HELD_OUT` examples are kept; of fewer than five batches then, or ten single
    examples, none: what is measured is measured on what was learnt from.

    Args:
        model, channel_map, data: see `calibration_moments`.
        batches: how many to learn from; None reads all.
    """
    held: list = []
    seen: list = []
    if batches is not None:
        batches += batches // (HELD_OUT_EVERY - 1)
    inputs = _pieces(model, checked(model, _inputs(model, data, batches)))
    moments = _moments(model, channel_map, _holding_out(inputs, held, seen))
    if not held and len(seen) == 1:
        warnings.warn(
            "the calibration data is one batch that cannot be divided: what is learnt "
            "of it cannot be tried on others, so weights stay as they are inherited. "
            "Give more examples.",
            stacklevel=2,
        )
    return Calibration(moments, seen, held or seen, bool(held))


def calibration_moments(
    model: keras.Model, channel_map: ChannelMap, data: Any, batches: int | None = None
) -> dict[str, Moments]:
    """Second moments of what every kernel reads, and how much its outputs matter.

    Networks of half precision are computed in float32.

    Args:
        model: the traced model; it runs in inference mode and is not changed.
        channel_map: its channels.
        data: an array of inputs, or an iterable of batches of `x`, `(x, y)` or
            `(x, y, sample_weight)`; labels are not looked at.
        batches: how many to read; None reads all.

    Returns:
        Layer name → `Moments`.

    Raises:
        SearchError: no data, data that does not fit the model or says nothing, or
            activations that are not finite; see also `hh_keras.search.checks`.
    """
    inputs = checked(model, _inputs(model, data, batches))
    return _moments(model, channel_map, _pieces(model, inputs))


def _moments(model, channel_map, inputs):
    check_weights(model)
    found, sizes = readers(channel_map), []
    try:
        with computing_in_float32(model):
            inputs = watched(model, inputs, sizes)
            seen = progress(inputs, "learning from calibration data, batch")
            moments = collect(model, found, seen, output_distance(model))
    except HHError:
        raise
    except Exception as error:  # a user's data may raise anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise SearchError(
            f"model '{model.name}' does not run on the calibration data: "
            f"{' '.join(lines[-1:])[:200]} ({type(error).__name__})."
        ) from error
    check_slopes(moments)
    warn_of_few(found, moments, sum(sizes))
    return moments


def _pieces(model: keras.Model, batches: Iterator[list]) -> Iterator[list]:
    """Batches, flat, cut smaller where they are few.

    What is learnt from one half of them is tried on the other.
    """
    first = list(itertools.islice(batches, FEW))
    if len(first) < FEW and as_graph(model).inputs[0].shape[0] is None:
        size = max(1, sum(len(flat[0]) for flat in first) // FEW)
        first = [
            [x[start : start + size] for x in flat]
            for flat in first
            for start in range(0, len(flat[0]), size)
        ]
    yield from first
    yield from batches


def _inputs(model: keras.Model, data: Any, batches: int | None) -> Iterator:
    """The inputs of some batches, without labels and weights.

    A list of as many arrays as the model takes is those, not `[x, y]`, of which x would
    be too few.
    """
    graph = as_graph(model)
    takes = len(graph.inputs)
    whole = all("float" in tensor.dtype for tensor in graph.inputs)
    if isinstance(data, (str, Path)):
        raise SearchError(
            f"the calibration data is a path, {str(data)!r}: give the images, such as "
            "hh_keras.data.unlabelled(path, (height, width, channels))."
        )
    count = data.cardinality() if isinstance(data, tf.data.Dataset) else 0
    if count == tf.data.INFINITE_CARDINALITY and batches is None:
        raise SearchError("the calibration data never ends: use .take(batches).")
    if _is_whole(data, takes):
        size = len(keras.tree.flatten(data)[0])
        data = [
            keras.tree.map_structure(lambda x: x[i : i + _BATCH], data)  # noqa: B023
            for i in range(0, size, _BATCH)
        ]
    each: Iterable = data
    for batch in itertools.islice(each, batches):
        inputs = keras.utils.unpack_x_y_sample_weight(batch)[0]
        few = len(keras.tree.flatten(inputs)) < takes
        if few and isinstance(batch, (list, tuple)) and len(batch) == takes:
            inputs = batch
        yield keras.tree.map_structure(_as_float, inputs) if whole else inputs


def _is_whole(data, takes):
    """Whether data are arrays of all examples, one for each input, as `fit` takes them.

    A list of arrays holds batches if there is one input.
    """
    if isinstance(data, (list, tuple)) and takes == 1:
        return False
    if not isinstance(data, (np.ndarray, dict, list, tuple)):
        return False
    arrays = keras.tree.flatten(data)
    return len(arrays) == takes and all(np.ndim(x) for x in arrays)


def _as_float(x):
    """Whole numbers, such as pixels in bytes, are numbers to a network."""
    kind = tf.as_dtype(getattr(x, "dtype", "float32"))
    return np.asarray(x, "float32") if kind.is_integer or kind.is_bool else x


def _holding_out(batches: Iterable, held: list, seen: list) -> Iterator[list]:
    """Passes batches on, but for every fifth, which goes to `held`.

    Those that are passed on are in `seen` too, as far as they fit. Of fewer than ten
    single examples none is held out.
    """
    examples, size, batches = 0, 0, iter(batches)
    first = list(itertools.islice(batches, 2 * HELD_OUT_EVERY))
    # A single example has no spread to keep a share of.
    alone = (
        len(first) < 2 * HELD_OUT_EVERY
        and max((len(x[0]) for x in first), default=0) < 2
    )
    for number, inputs in enumerate(itertools.chain(first, batches), 1):
        if number % HELD_OUT_EVERY == 0 and examples < HELD_OUT and not alone:
            held.append(inputs)
            examples += len(inputs[0])
            continue
        size += sum(int(np.prod(x.shape)) * 4 for x in inputs)
        if size <= KEPT_BYTES or not seen:
            seen.append(inputs)
        yield inputs
