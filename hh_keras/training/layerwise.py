"""Properties that layers have while they are trained, and not in the files."""

import contextlib
from collections.abc import Iterable, Iterator

import keras

from hh_keras.training.fused import fused_statistics
from hh_keras.training.recipes import Recipe
from hh_keras.training.strides import around_fault

PLAIN = "float32"


@contextlib.contextmanager
def changed(changes: Iterable) -> Iterator:
    """Sets attributes of layers in this block, and sets them back behind it.

    Args:
        changes: list of (layer, attribute, value).

    Yields:
        The changes that undo these.
    """
    before = [(layer, name, getattr(layer, name)) for layer, name, _ in changes]
    try:
        for each in changes:
            _set(*each)
        yield before
    finally:
        for each in before:
            _set(*each)


def _set(layer, name, value):
    if getattr(value, "__self__", None) is layer:  # a method, which its class has
        vars(layer).pop(name, None)
    else:
        setattr(layer, name, value)


def for_recipe(
    model: keras.Model, recipe: Recipe, jit_compile: bool | str = False
) -> list:
    """The changes that a recipe's precision and batch statistics, and speed, ask for.

    Variables are float32 either way, so a model can be computed with in mixed
    precision without being made anew. Layers that make the outputs, and layers that
    have a policy of their own, keep it.

    Args:
        model: a functional model.
        recipe: a `Recipe`.
        jit_compile: whether XLA compiles the step, or may ("auto").

    Returns:
        List of changes for `changed`.
    """
    layers = [x for x in model._flatten_layers() if not isinstance(x, keras.Model)]
    changes = around_fault(layers)
    if not jit_compile:
        changes += fused_statistics(layers)
    if recipe.sync_batch_norm:
        changes += [(x, "synchronized", True) for x in layers if hasattr(x, _SYNC)]
    if recipe.precision != PLAIN:
        policy = keras.dtype_policies.get(recipe.precision)
        last = {id(tensor._keras_history.operation) for tensor in model.outputs}
        changes += [
            (layer, "dtype_policy", policy)
            for layer in layers
            if layer.dtype_policy.name == PLAIN and id(layer) not in last
        ]
    return changes


_SYNC = "synchronized"
