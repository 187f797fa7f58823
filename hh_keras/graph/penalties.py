"""Regularisers and constraints of a user's own, which may be made for one size."""

from collections.abc import Iterator
from typing import Any

import keras

from hh_keras.graph import calls
from hh_keras.graph.rules import Effect
from hh_keras.graph.weights import variables

_BATCH = 5  # no divisor of usual sizes, so that no reshape can do with it by chance


def bound_channels(op: Any, effect: Effect) -> Iterator[tuple]:
    """Yields `(ids, reason)` of channels that a function of the user's own holds.

    A regulariser or a constraint that Keras did not write is called on a tensor with
    one channel less; if it raises, the channels must stay.
    """
    if not calls.is_layer(op):
        return
    activity = getattr(op, "activity_regularizer", None)
    if _is_users(activity):
        outputs = effect.outputs
        for x in outputs if isinstance(outputs, list) else [outputs]:
            for axis in x.varying:
                shape = [_BATCH if n is None else n for n in x.shape]
                if not _takes(activity, shape, axis):
                    yield x.ids, _reason("activity regulariser", activity)
    if not effect.weights or not _holds(op):
        return
    held = variables(op)
    for name, axes in effect.weights.items():
        for kind in ("regularizer", "constraint"):
            function = getattr(held.get(name), kind, None)
            if not _is_users(function):
                continue
            for axis, ids in enumerate(axes):
                if ids is not None and not _takes(function, held[name].shape, axis):
                    yield ids, _reason(f"{kind} of '{name}'", function)


def _holds(layer):
    """Whether a weight in the layer has a regulariser or a constraint."""
    for variable in layer._trainable_variables:
        if variable.regularizer or variable.constraint:
            return True
    return bool(layer._layers) and any(map(_holds, layer._layers))


def _is_users(function):
    if function is None:
        return False
    kind = function if hasattr(function, "__qualname__") else type(function)
    return (kind.__module__ or "").partition(".")[0] != "keras"


def _takes(function, shape, axis):
    """Whether a function can be called on one channel less."""
    fewer = [n - (k == axis) for k, n in enumerate(shape)]
    try:
        function(keras.ops.ones(fewer))
    except Exception:  # a user's function may raise anything
        return fewer[axis] == 0
    return True


def _reason(kind, function):
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"its {kind} {name} takes no fewer of them"
