"""Nested plain values, such as configs, that hold arrays of channel ids."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Take:
    """A config entry with one value per channel: `values[k]` goes with `ids[k]`."""

    values: Any
    ids: np.ndarray


def map_ids(function, value):
    """Applies `function` to every id array inside a nested value."""
    if isinstance(value, np.ndarray):
        return function(value)
    if isinstance(value, Take):
        return Take(value.values, function(value.ids))
    if isinstance(value, slice):
        return slice(
            *(map_ids(function, v) for v in (value.start, value.stop, value.step))
        )
    if isinstance(value, dict):
        return {k: map_ids(function, v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map_ids(function, v) for v in value)
    return value


def id_arrays(value):
    """Every id array inside a nested value."""
    found = []
    map_ids(lambda ids: found.append(ids) or ids, value)
    return found
