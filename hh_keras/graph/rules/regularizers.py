"""Regularisers that are written for as many channels as there are."""

from typing import Any

import keras
import numpy as np

from hh_keras.graph.rules.registry import Effect, RuleCall
from hh_keras.graph.weights import variables

_UNKNOWN = 6  # stands for sizes that are not known


def freeze_if_counted(layer: Any, call: RuleCall, effect: Effect) -> None:
    """Freezes the channels of which a user's own regulariser takes no fewer.

    It is called on zeros, with one channel less: one that reshapes to sizes of its own
    raises then, and would do so in the rebuilt model.
    """
    regularizer = getattr(layer, "activity_regularizer", None)
    if _own(regularizer):
        given = effect.outputs
        for x in given if isinstance(given, list) else [given]:
            for axis in x.varying:
                _check(call, regularizer, x.shape, axis, x.ids)
    own = {k: v for k, v in variables(layer).items() if _own(v.regularizer)}
    for name, variable in own.items():
        for axis, ids in enumerate(effect.weights.get(name, ())):
            if ids is not None:
                _check(call, variable.regularizer, variable.shape, axis, ids)


def _own(regularizer):
    module = type(regularizer).__module__
    return regularizer is not None and not module.startswith("keras.")


def _check(call, regularizer, shape, axis, ids):
    shape = [n or _UNKNOWN for n in shape]
    shape[axis] -= 1
    try:
        regularizer(keras.ops.convert_to_tensor(np.zeros(shape, "float32")))
    except Exception as error:  # a user's function may raise anything
        kind = type(regularizer).__name__
        why = f"regulariser {kind} takes no fewer channels ({type(error).__name__})"
        call.freeze(ids, f"{call.path}: {why}")
