"""Wrappers: the rule of the layer inside, on another shape."""

import dataclasses
from typing import Any

import keras

from hh_keras.graph.ids import IdTensor
from hh_keras.graph.rules.registry import Effect, RuleCall, find_rule, register_rule


@register_rule(keras.layers.TimeDistributed)
def time_distributed(layer: Any, call: RuleCall) -> Effect:
    """Every time step is an example of the layer inside."""
    x, inner, rule = call.x, layer.layer, find_rule(layer.layer)
    steps = x.shape[1]
    if rule is None or 1 in x.varying or len(call.inputs) > 1:
        return call.stops("wraps a layer whose channels cannot be followed")
    rows = None if None in (x.rows, steps) else x.rows * steps
    if None in x.shape[2:]:
        rows = None
    ids = x.ids.reshape(x.ids.shape[:1] + x.ids.shape[2:])
    folded = IdTensor(ids, (None, *x.shape[2:]), rows, x.dtype)
    shapes = [(None, *shape[2:]) for shape in call.shapes]
    inside = RuleCall(call.path, [folded], (folded,), {}, shapes, call.book)
    effect = rule(inner, inside)
    outputs = effect.outputs if isinstance(effect.outputs, list) else [effect.outputs]
    return dataclasses.replace(
        effect,
        outputs=[
            IdTensor(y.ids[:, None], tuple(shape), x.rows)
            for y, shape in zip(outputs, call.shapes)
        ],
        config={"layer": effect.config} if effect.config else {},
        contracts=tuple((at, axis + 1, ids) for at, axis, ids in effect.contracts),
    )
