"""The weights of a layer by name, and with what they start."""

import contextlib
import functools
import random
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.graph.calls import is_layer


def variables(op: Any) -> dict:
    """Attribute name → variable of one layer, its random state included.

    Variables of inner layers go by their own names; one that comes again gets a prime.
    """
    if not is_layer(op):
        return {}
    attributes = {
        id(value): key.lstrip("_")
        for key, value in vars(op).items()
        if isinstance(value, keras.Variable)
    }
    found = {}
    for v in op.variables:
        name = attributes.get(id(v)) or v.path.rsplit("/", 1)[-1]
        if name.startswith("variable_"):
            # Keras counts the variables that got no name, over all layers.
            name = re.sub(r"^variable_\d+$", "variable", name)
        while name in found:
            name += "'"
        found[name] = v
    return found


def array_of(variable: keras.Variable) -> np.ndarray:
    """A variable's value as an array that is not to be written to.

    It is the memory of the tensor itself where that can be had: Keras and TensorFlow
    copy it each.
    """
    try:
        return np.asarray(memoryview(tf.convert_to_tensor(variable.value)))
    except (TypeError, ValueError, BufferError):  # types that only TensorFlow has
        return np.asarray(variable)


def initialize_with(layer: Any, value: Any) -> None:
    """Has a layer that is not built yet start with given weights.

    Creating a variable and overwriting it later takes twice as long.

    Args:
        layer: the layer.
        value: `value(name, shape)` returns an array, or None to leave a weight to the
            layer's own initialiser.
    """
    add_weight = layer.add_weight

    @functools.wraps(add_weight)
    def add(shape=None, initializer=None, *args, **kwargs):
        given = value(kwargs.get("name"), shape)
        if given is not None:
            initializer = lambda shape, dtype=None: given  # noqa: E731
        if args:
            return add_weight(shape, initializer, *args, **kwargs)
        return add_weight(shape=shape, initializer=initializer, **kwargs)

    object.__setattr__(layer, "add_weight", add)


def initialize_as_usual(layer: Any) -> None:
    """Takes back `initialize_with`."""
    vars(layer).pop("add_weight", None)


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Makes initialisers without a seed of their own reproducible in this block.

    Keras draws their seeds from Python's `random`, whose state is put back after.
    """
    if seed is None:
        yield
        return
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
