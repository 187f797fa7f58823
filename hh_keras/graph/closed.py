"""Which classes stay closed: because somebody said so, or could not be followed."""

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import keras

from hh_keras.errors import HHError

_KINDS: list = []
_LAYERS: Any = weakref.WeakKeyDictionary()  # layer → why it is not opened


def keep_closed(kind: Any) -> Any:
    """Keeps a class of layers as it is, in all models: it is not opened.

    What holds channels that such a layer touches is found out by trial, or by the
    rule that it has (`register_rule`); the layers inside it stay as they are.

    Args:
        kind: a subclass of `keras.Layer`, or one layer of a model. Classes that
            inherit from it stay closed too.

    Returns:
        `kind`, so that it serves as a decorator of a class.

    Raises:
        HHError: `kind` is neither.

    Examples:
        >>> @hh_keras.keep_closed
        ... class Block(keras.layers.Layer):
        ...     ...
    """
    if isinstance(kind, keras.Layer):
        close(kind, "is to stay closed")
    elif isinstance(kind, type) and issubclass(kind, keras.Layer):
        _KINDS.append(kind)
    else:
        raise HHError(f"keep_closed takes a class of layers or a layer, not {kind!r}.")
    return kind


@contextlib.contextmanager
def all_closed(yes: bool = True) -> Iterator[None]:
    """Opens nothing for a while, if `yes`."""
    before = list(_KINDS)
    if yes:
        _KINDS.append(keras.Layer)
    try:
        yield
    finally:
        _KINDS[:] = before


def close(layer: Any, why: str) -> None:
    """Notes that one layer is not opened, nor what is cloned from it."""
    _LAYERS[layer] = why


def reopen(layer: Any) -> None:
    """Takes `close` back."""
    _LAYERS.pop(layer, None)


def why_closed(layer: Any) -> str | None:
    """Why a layer is not opened, or None."""
    if _KINDS and isinstance(layer, tuple(_KINDS)):
        return "is to stay closed"
    return _LAYERS.get(layer) if _LAYERS else None


def hand_on(old: Any, new: Any) -> Any:
    """Notes that a layer made from another one is not opened either."""
    if old in _LAYERS:
        _LAYERS[new] = _LAYERS[old]
    return new
