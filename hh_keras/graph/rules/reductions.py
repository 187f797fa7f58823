"""Sums, means and the like, over positions or over channels."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from hh_keras.graph.ids import IdTensor
from hh_keras.graph.rules.registry import (
    Effect,
    RuleCall,
    register_rule,
    takes_grids,
)

# Operation → the kind of statistic it takes, see `STATISTICS`.
_KINDS = {
    "Mean": "mean",
    "Var": "spread",
    "Std": "spread",
    "Moments": "spread",
    "Max": "greatest",
    "Amax": "greatest",
    "Min": "least",
    "Amin": "least",
    "Logsumexp": "softmax",
}


@register_rule("keras.ops.Sum")
@takes_grids
def sum_(op: Any, call: RuleCall) -> Effect:
    """Over channels a sum is exact: removed ones add nothing."""
    axes = _axes(op.axis, call.x)
    over = axes & set(call.x.varying)
    if not over:
        return _reduced(op.keepdims, axes, call)
    summed = tuple((0, axis, call.along(call.x, axis)) for axis in sorted(over))
    return Effect(_left(op, call, axes, "sum over channels"), contracts=summed)


@register_rule(*(f"keras.ops.{name}" for name in _KINDS))
@takes_grids
def statistic(op: Any, call: RuleCall) -> Effect:
    axes = _axes(getattr(op, "axis", getattr(op, "axes", None)), call.x)
    return _statistic(op, call, axes, _KINDS[type(op).__name__])


@register_rule("keras.ops.Norm")
@takes_grids
def norm(op: Any, call: RuleCall) -> Effect:
    """A Euclidean length is a sum of squares."""
    axes = _axes(op.axis, call.x)
    if op.ord not in (None, 2, "fro", "euclidean") or (op.ord == 2 and len(axes) > 1):
        axes = set(range(call.x.rank))
        kind = "prod"
    else:
        kind = "power"
    return _statistic(op, call, axes, kind)


@register_rule("keras.ops.Normalize")
@takes_grids
def normalize(op: Any, call: RuleCall) -> Effect:
    kind = "unit" if op.order == 2 else "prod"
    return over_channels(call, _axes(op.axis, call.x), kind, call.passes())


@register_rule("keras.ops.Prod")
def product(op: Any, call: RuleCall) -> Effect:
    return _statistic(op, call, _axes(op.axis, call.x), "prod")


def _statistic(op, call, axes, kind):
    if not axes & set(call.x.varying):
        return _reduced(op.keepdims, axes, call)
    name = type(op).__name__.lower()
    outputs = _left(op, call, axes, f"{name} over channels")
    return over_channels(call, axes, kind, Effect(outputs))


def _left(op, call, axes, reason):
    """Outputs with the channels of those axes that are not reduced, such as heads."""
    left = {
        a if op.keepdims else a - sum(b < a for b in axes): call.along(call.x, a)
        for a in call.x.varying
        if a not in axes
    }
    return [call.placed(left, tuple(shape), reason) for shape in call.shapes]


def over_channels(call: RuleCall, axes: Iterable, kind: str, effect: Effect) -> Effect:
    """The effect of an operation that takes a statistic of its input.

    Args:
        call: the call.
        axes: what the statistic is taken over.
        kind: of `STATISTICS`, or another word if channels cannot leave from it.
        effect: what it does otherwise.
    """
    over = {a % call.x.rank for a in axes} & set(call.x.varying)
    if not over:
        return effect
    if kind == "prod" or len(over) > 1 or len(call.inputs) > 1:
        return call.stops(f"a {kind} over channels")
    axis = over.pop()
    ids = call.along(call.x, axis)
    return dataclasses.replace(effect, statistics=((0, axis, ids, kind),))


def _axes(axes, x):
    axes = range(x.rank) if axes is None else axes
    return {a % x.rank for a in ([axes] if isinstance(axes, int) else axes)}


def _reduced(keepdims, axes, call):
    """Channels pass on the axes that stay."""
    ids = call.x.ids
    if not keepdims:
        ids = ids.reshape([n for i, n in enumerate(ids.shape) if i not in axes])
    return Effect([IdTensor(ids, tuple(shape)) for shape in call.shapes])
