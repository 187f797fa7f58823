"""Normalisation: per channel, per group of channels, or over all of them."""

from typing import Any

import keras
import numpy as np

from hh_keras.graph.ids import IdTensor
from hh_keras.graph.rules.reductions import over_channels
from hh_keras.graph.rules.registry import (
    Effect,
    RuleCall,
    register_rule,
    takes_grids,
)

_L = keras.layers


def _per_channel(ids, names, layer):
    """Weights of one value per channel, those that the layer has."""
    flags = {"gamma": "scale", "beta": "center"}
    return {
        name: (ids,)
        for name in names
        if name not in flags or getattr(layer, flags[name], True)
    }


@register_rule(_L.BatchNormalization)
def batch_normalization(layer: Any, call: RuleCall) -> Effect:
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
    ids = call.channels(call.x, axis)
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    return call.passes(weights=_per_channel(ids, names, layer))


@register_rule(_L.GroupNormalization)
def group_normalization(layer: Any, call: RuleCall) -> Effect:
    """A group's statistics are its own, so whole groups leave; of one group, channels.

    Those that are left are then normalised by their own statistics.
    """
    if any(a != layer.axis % call.x.rank for a in call.x.varying):
        return call.stops("normalises over an axis of channels")
    ids = call.along(call.x, layer.axis)
    groups = len(ids) if layer.groups == -1 else layer.groups
    weights = _per_channel(ids, ("gamma", "beta"), layer)
    if groups == 1:
        counted = (0, layer.axis % call.x.rank, ids, "counted")
        return call.passes(weights=weights, statistics=(counted,))
    blocks = ids.reshape(groups, -1)
    call.tie(np.broadcast_to(blocks[:, :1], blocks.shape), blocks)
    return call.passes(weights=weights, config={"groups": blocks[:, 0]})


@register_rule(_L.LayerNormalization, _L.RMSNormalization)
@takes_grids
def layer_normalization(layer: Any, call: RuleCall) -> Effect:
    """The channels that are left are normalised by their own statistics."""
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    axes = [a % call.x.rank for a in axes]
    over = [a for a in axes if a in call.x.varying]
    if not over:
        return call.passes()
    ids = call.along(call.x, over[-1])
    if len(over) > 1:
        call.freeze(ids, f"{call.path}: normalises over two axes of channels")
    held = {name: getattr(layer, name, None) for name in ("gamma", "beta", "scale")}
    weights = {
        name: tuple(ids if a == over[-1] else None for a in axes)
        for name, weight in held.items()
        if isinstance(weight, keras.Variable)
    }
    counted = (0, over[-1], ids, "counted")
    return call.passes(weights=weights, statistics=(counted,))


@register_rule("keras.ops.LayerNorm", "keras.ops.RMSNorm")
@takes_grids
def normalization_by_operation(op: Any, call: RuleCall) -> Effect:
    """Gains and offsets are tensors beside the one that is normalised."""
    axes = op.axis if isinstance(op.axis, (list, tuple)) else [op.axis]
    axes = sorted(a % call.x.rank for a in axes)
    over = [a for a in axes if a in call.x.varying]
    given = [*call.args, *call.kwargs.values()]
    if len(over) > 1 or any(np.ndim(a) for a in given if not isinstance(a, IdTensor)):
        return call.stops("normalises by an array, or over two axes of channels")
    if not over:
        for x in call.inputs[1:]:
            call.freeze(x, f"{call.path}: has a number for each position")
        return call.passes()
    last = axes == list(range(call.x.rank - len(axes), call.x.rank))
    if not last and not hasattr(op, "rms_scaling") and len(call.inputs) > 1:
        return call.stops("multiplies gains along other axes than it normalises over")
    own = call.along(call.x, over[0])
    for x in call.inputs[1:]:  # of the rank of the axes, or of the tensor's
        place = over[0] if x.rank == call.x.rank else axes.index(over[0]) - len(axes)
        if -x.rank <= place < x.rank and x.shape[place] == len(own):
            call.tie(own, call.along(x, place))
        else:
            call.freeze(x, f"{call.path}: broadcast over channels")
    return call.passes(statistics=((0, over[0], own, "counted"),))


@register_rule(_L.UnitNormalization)
@takes_grids
def unit_normalization(layer: Any, call: RuleCall) -> Effect:
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    return over_channels(call, axes, "unit", call.passes())


@register_rule(_L.Normalization)
def normalization(layer: Any, call: RuleCall) -> Effect:
    if call.x.is_fixed:
        return call.passes()
    return call.stops("normalises with statistics of fixed channels")


@register_rule(_L.SpectralNormalization)
def spectral_normalization(layer: Any, call: RuleCall) -> Effect:
    return call.stops("divides by the norm of a whole kernel")
