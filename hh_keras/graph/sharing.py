"""Layers inside layers stay one where they were one."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

_SHARED = None  # id of a layer → (the layer, the new one), of the model being made


@contextlib.contextmanager
def sharing(made: dict) -> Iterator[None]:
    """Within a model that is made anew, a layer inside several others stays one.

    Args:
        made: id of an operation → `(operation, new one)`, of those made so far; layers
            inside layers are added.
    """
    global _SHARED
    before, _SHARED = _SHARED, made
    try:
        yield
    finally:
        _SHARED = before


def shared(layer: Any, make: Callable) -> Any:
    """The new layer in place of one inside another, made by `make` if need be."""
    if _SHARED is None:
        return make(layer)
    if id(layer) not in _SHARED:
        _SHARED[id(layer)] = layer, make(layer)
    return _SHARED[id(layer)][1]


def made_before(layer: Any) -> Any:
    """The new layer in place of one, if it has been made, else None."""
    return _SHARED[id(layer)][1] if _SHARED and id(layer) in _SHARED else None


def note(layer: Any, new: Any) -> None:
    """Says what is made in place of a layer, before it is finished."""
    if _SHARED is not None:
        _SHARED[id(layer)] = layer, new
