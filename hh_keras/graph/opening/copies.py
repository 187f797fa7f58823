"""Copies of layers and operations for a model that is opened, and their values."""

from typing import Any

import keras

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.graph.cloning import clone_op
from hh_keras.graph.opening.openable import small_padding
from hh_keras.graph.replaying import replay


def new_layer(op: Any) -> Any:
    """A layer, or a functional model, made again; its weights are drawn anew."""
    if calls.is_graph(op):
        return replay(op, lambda path, inner: new_layer(inner))
    new, small = clone_op(op), small_padding(op)
    if small:
        new.padding = small
    return new


def new_operation(op: Any) -> Any:
    """An operation without weights that nothing has called yet."""
    new = object.__new__(type(op))
    vars(new).update(vars(op), _inbound_nodes=[], _outbound_nodes=[])
    return new


def variable_pairs(old: Any, new: Any) -> list[tuple]:
    """The variables of a layer, each with that of its copy.

    Raises:
        ModelError: the copy has others.
    """
    mine, yours = old.variables, new.variables
    if len(mine) > len(yours):  # one that drops nothing draws no numbers
        mine = [v for v in mine if not v.path.endswith("seed_generator_state")]
        yours = [v for v in yours if not v.path.endswith("seed_generator_state")]
    if len(mine) != len(yours):
        raise ModelError(
            f"layer '{old.name}' ({type(old).__name__}), made again from its config, "
            f"has {len(new.variables)} weights instead of {len(old.variables)}."
        )
    return list(zip(mine, yours))


def take_over(model: keras.Model, pairs: list[tuple], turned: set[int]) -> None:
    """Gives copies the values of their originals.

    Args:
        model: what the copies are part of.
        pairs: `(variable of the original, its copy)`.
        turned: ids of copies that have their axes the other way around.
    """
    for old, new in pairs:
        value = old.value
        new.assign(keras.ops.transpose(value) if id(new) in turned else value)
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state") and layer.weights:
            layer.finalize_state()  # a Normalization keeps copies of its weights
