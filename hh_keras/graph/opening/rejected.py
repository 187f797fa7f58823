"""Which layers of a user's own no trial takes, so that they are better opened."""

import dataclasses
from typing import Any

import keras

from hh_keras.graph import calls
from hh_keras.graph.closed import why_closed
from hh_keras.graph.ids import on_axis
from hh_keras.graph.ledger import Ledger
from hh_keras.graph.rules import RuleCall, find_rule
from hh_keras.graph.trial import try_call


def rejected(model: Any) -> set:
    """Layers of a user's own of which a trial proves nothing.

    Each is tried as it is called in the model, its channels on the last axis of all
    tensors: a trial that `trace` need not do again.

    Args:
        model: a graph.

    Returns:
        A set of layers; those without weights and channels are not in it.
    """
    found = set()

    def step(path, call, args, kwargs):
        if _is_own_leaf(call.op) and call.op not in found:
            if _tried(path, call, args, kwargs).stopped:
                found.add(call.op)
        return list(call.outputs)

    graph = calls.as_graph(model)
    if any(map(_is_own_leaf, model._flatten_layers())):
        calls.interpret(model, list(graph.inputs), step)
    return found


def _is_own_leaf(op):
    return (
        isinstance(op, keras.Layer)
        and not isinstance(op, keras.Model)
        and type(op).__module__.partition(".")[0] not in ("keras", "hh_keras")
        and find_rule(op) is None
        and why_closed(op) is None
        and not list(op._flatten_layers(include_self=False))
    )


def _tried(path, call, args, kwargs):
    book = Ledger()

    def channels(x):
        if not isinstance(x, keras.KerasTensor):
            return x
        shape = tuple(x.shape)
        tensor = book.fixed(shape, "no channels")
        if len(shape) > 1 and shape[-1] is not None:
            tensor = on_axis(book.fresh(shape[-1], path), -1, shape)
        return dataclasses.replace(tensor, rows=1, dtype=x.dtype)

    args, kwargs = keras.tree.map_structure(channels, (args, kwargs))
    flat = [x for x in keras.tree.flatten((args, kwargs)) if hasattr(x, "ids")]
    shapes = [tuple(t.shape) for t in call.outputs]
    return try_call(call.op, RuleCall(path, flat, args, kwargs, shapes, book))
