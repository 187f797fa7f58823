"""Initialisers that hold values of a fixed shape, such as word vectors or filters."""

from collections.abc import Callable, Iterable

import keras
import numpy as np

from hh_keras.graph.weights import variables


def cut_initializers(
    layer: keras.Layer, weights: Iterable, shape_of: Callable, change: Callable
) -> dict:
    """Initialisers for a layer whose weights change shape.

    A layer that starts from given values would otherwise demand their old shape, when
    it is built and when it is loaded.

    Args:
        layer: the old layer, built.
        weights: names of the weights that change shape.
        shape_of: `shape_of(name)` is a weight's new shape.
        change: `change(name, value)` cuts or repeats an array of the old shape.

    Returns:
        Config key → `keras.initializers.Constant`, for initialisers that cannot make
        the new shape.
    """
    given = {
        attribute: initializer
        for attribute, initializer in vars(layer).items()
        if attribute.endswith("_initializer")
        and callable(initializer)
        and not _makes_any(initializer)
    }
    if not given:
        return {}
    held, found = variables(layer), {}
    for attribute, initializer in given.items():
        key = attribute.lstrip("_")
        name = _weight_of(key, held)
        if name not in weights or _makes(initializer, shape_of(name)):
            continue
        values = np.asarray(initializer(tuple(held[name].shape)))
        found[key] = keras.initializers.Constant(change(name, values))
    return found


def _weight_of(key, variables):
    """The weight that an initialiser of a layer is for."""
    stem = key.removesuffix("_initializer")
    names = (stem, f"{stem}_kernel", "kernel" if stem == "depthwise" else stem)
    return next((name for name in names if name in variables), None)


def _makes_any(initializer):
    """Whether an initialiser can make a weight of any shape, as far as is known."""
    if isinstance(initializer, keras.initializers.Constant):
        return np.ndim(initializer.value) == 0
    return type(initializer).__module__.startswith("keras.src.")


def _makes(initializer, shape):
    """Whether a user's initialiser can make a weight of this shape."""
    if isinstance(initializer, keras.initializers.Constant):
        return False
    try:
        return tuple(np.shape(initializer(shape))) == shape
    except Exception:  # a user's function may raise anything
        return False
