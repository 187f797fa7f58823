"""Copying a layer as the object that it is, where no config can make it anew."""

import copy
import sys
from typing import Any

import keras

from hh_keras.errors import ModelError
from hh_keras.graph.sharing import made_before, note

# Attributes that Keras makes for each object anew.
OWN = ("build", "quantize", "add_weight", "_inbound_nodes", "_outbound_nodes")


def copy_layer(layer: Any) -> keras.Layer:
    """Copies a built layer as the object that it is, weights and inner layers too.

    For layers whose class cannot be made from a config and whose sizes stay.

    Args:
        layer: a layer; it is not changed.

    Returns:
        A layer of the same class that shares no variable with it.

    Raises:
        ModelError: it holds something that cannot be copied.
    """
    try:
        return _copied(layer, {id(m): m for m in sys.modules.values()})
    except Exception as error:  # a lock, a file, a generator …
        raise ModelError(
            f"layer '{layer.name}' ({type(layer).__name__}) can neither be made again "
            f"from a config nor copied ({type(error).__name__}: {first_line(error)}). "
            "Give the class a get_config() that returns its constructor arguments."
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return next(iter(str(error).splitlines()), "")


def _copied(layer, memo):
    """A layer begun as Keras begins one, which then gets copies of all attributes."""
    memo.setdefault(id(layer), made_before(layer))
    if memo[id(layer)] is not None:
        return memo[id(layer)]
    if type(layer) is keras.Sequential:
        # Its graph is made of its layers; copied, it would be a second set of them.
        inner = [
            type(each).from_config(each.get_config())
            if isinstance(each, keras.layers.InputLayer)
            else _copied(each, memo)
            for each in layer._layers
        ]
        new = memo[id(layer)] = keras.Sequential(inner, layer.trainable, layer.name)
        note(layer, new)
        return new
    new = type(layer).__new__(type(layer))
    keras.Layer.__init__(new, dtype=layer.dtype_policy, name=layer.name)
    begun, memo[id(layer)] = set(vars(new)), new
    note(layer, new)
    for kind in ("trainable_variables", "non_trainable_variables", "seed_generators"):
        for each in getattr(layer, "_" + kind):
            new._tracker.add_to_store(kind, copy.deepcopy(each, memo))
    for each in layer._layers:
        new._tracker.add_to_store("layers", _copied(each, memo))
    for key, value in vars(layer).items():
        if key not in begun:
            setattr(new, key, copy.deepcopy(_untracked(value, memo), memo))
        elif key not in OWN and isinstance(value, (bool, int, float, str, tuple)):
            vars(new)[key] = value
    vars(new)["_build_shapes_dict"] = getattr(layer, "_build_shapes_dict", None)
    if layer.built:
        new._lock_state()
    return new


def _untracked(value, memo):
    """Lists and dicts that report to their layer's tracker, as plain ones.

    Symbolic tensors, which a copy would follow through the whole graph, are shared.
    """
    if isinstance(value, keras.KerasTensor):
        memo[id(value)] = value
    if isinstance(value, dict):
        return {k: _untracked(v, memo) for k, v in value.items()}
    if isinstance(value, (list, set)) or type(value) is tuple:
        kind = next(k for k in (list, set, tuple) if isinstance(value, k))
        return kind(_untracked(v, memo) for v in value)
    return value
