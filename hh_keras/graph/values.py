"""Nested plain values, such as configs, that hold arrays of channel ids."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Take:
    """A config entry with one value per channel: `values[k]` goes with `ids[k]`.

    Of an array or nested lists `axis` is the one along which the channels lie. If
    `summed`, the entry is the sum of the values. Without ids nothing of it ever leaves.
    """

    values: Any
    ids: np.ndarray | None
    axis: int = -1
    summed: bool = False


def map_ids(function: Callable, value: Any) -> Any:
    """Applies `function` to every id array inside a nested value.

    A `Take` of ids that become a number, how many they are, has none any more.
    """
    if value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, np.ndarray):
        return function(value)
    if isinstance(value, Take):
        ids = None if value.ids is None else function(value.ids)
        return dataclasses.replace(value, ids=None if isinstance(ids, int) else ids)
    if isinstance(value, slice):
        return slice(
            *(map_ids(function, v) for v in (value.start, value.stop, value.step))
        )
    if isinstance(value, dict):
        return {k: map_ids(function, v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)([map_ids(function, v) for v in value])
    return value


def id_arrays(value: Any) -> list:
    """Every id array inside a nested value."""
    found = []

    def note(ids):
        found.append(ids)
        return ids

    map_ids(note, value)
    return found
