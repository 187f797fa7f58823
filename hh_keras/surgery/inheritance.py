"""Weights handed from a layer to the one that is made in its place."""

import collections
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.graph import calls, replaying
from hh_keras.graph.weights import (
    array_of,
    initialize_as_usual,
    initialize_with,
    variables,
)


class Inheritance:
    """Has a new layer start with the weights of an old one, changed or not.

    The layer that is not built yet builds its weights with their values at once:
    creating them first and assigning them later takes twice as long.

    Args:
        old: the layer to inherit from.
        new: the layer that inherits, not built.
        change: `change(name, value)` returns the new value of a weight, an array.
    """

    def __init__(
        self, old: Any, new: Any, change: Any = lambda name, value: value
    ) -> None:
        self.old, self.new, self.change = old, new, change
        self.olds = variables(old)
        counts = collections.Counter(v.name for v in self.olds.values())
        self.keys = {v.name: k for k, v in self.olds.items() if counts[v.name] == 1}
        self.done: dict = {}  # name → value that it was built with
        initialize_with(new, self._initial)

    def finish(self) -> None:
        """Assigns what was not created by name: random states, inner layers.

        And all weights of a user's layer, whose `build` may have set them.
        """
        initialize_as_usual(self.new)
        layers = list(zip(self.old._flatten_layers(), self.new._flatten_layers()))
        users = any(not type(x).__module__.startswith("keras.") for x, _ in layers)
        if len(self.done) == len(self.olds) and not users:
            return
        for old, new in layers:
            if old.built and not new.built:  # an activation, not called yet
                new.build_from_config(old.get_build_config() or {})
            _hand_on_untracked(old, new)
        for name, target in variables(self.new).items():
            if name in self.done and not users:
                continue
            value = self.done.get(name)
            if value is None and name in self.olds:
                value = self._value(name)
            if value is None or value.shape != tuple(target.shape):
                raise ModelError(
                    f"layer '{self.old.name}' ({type(self.old).__name__}), made again "
                    f"from its config, has another weight '{name}' "
                    f"{tuple(target.shape)}. Give the class a get_config() that "
                    "returns its constructor arguments."
                )
            target.assign(value)

    def _initial(self, name, shape):
        key = self.keys.get(name)
        if key is None or key in self.done:
            return None
        value = self._value(key)
        if value.shape != tuple(shape):
            return None
        self.done[key] = value
        return value

    def _value(self, key):
        return self.change(key, array_of(self.olds[key]))


def _hand_on_untracked(old, new):
    """Variables of TensorFlow that a user's layer holds, which Keras does not know."""
    for name, variable in vars(old).items():
        if not isinstance(variable, tf.Variable):
            continue
        other = vars(new).get(name)
        if not isinstance(other, tf.Variable) or other.shape != variable.shape:
            raise ModelError(
                f"layer '{old.name}' ({type(old).__name__}) holds a tf.Variable "
                f"'{name}', which the layer made in its place has not, or of another "
                "shape. Make it with self.add_weight."
            )
        other.assign(variable)


def replay(
    model: keras.Model, make: Callable, call: Callable | None, heirs: list
) -> keras.Model:
    """`replaying.replay`, after which the heirs that `make` collected are finished."""
    with calls.collection_paused():
        new_model = replaying.replay(model, make, call)
        for heir in heirs:
            heir.finish()
    return new_model
