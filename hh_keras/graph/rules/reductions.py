"""Sums, means and the like, over positions or over channels."""

from typing import Any

from hh_keras.graph.ids import IdTensor
from hh_keras.graph.rules.registry import Effect, RuleCall, register_rule


@register_rule("keras.ops.Sum")
def sum_(op: Any, call: RuleCall) -> Effect:
    return reduce_axes(op, call, exact=True)


@register_rule(
    "keras.ops.Mean",
    "keras.ops.Max",
    "keras.ops.Min",
    "keras.ops.Prod",
    "keras.ops.Std",
    "keras.ops.Var",
    "keras.ops.Amax",
    "keras.ops.Amin",
)
def reduce(op: Any, call: RuleCall) -> Effect:
    return reduce_axes(op, call, exact=False)


def reduce_axes(op: Any, call: RuleCall, exact: bool) -> Effect:
    """Reductions pass channels through on the axes that stay.

    Over the channels themselves only a sum is exact (removed channels add nothing);
    a mean, a maximum … would change, so they freeze.
    """
    x = call.x
    axes = op.axis
    axes = range(x.rank) if axes is None else axes
    axes = {a % x.rank for a in ([axes] if isinstance(axes, int) else axes)}
    over_channels = axes & set(x.varying)
    if over_channels and not exact:
        return call.stops(f"{type(op).__name__.lower()} over channels")
    if over_channels:
        axis = over_channels.pop()
        ids = call.along(x, axis)
        return Effect(
            call.fixed(call.shape, "sum over channels"), contracts=((0, axis, ids),)
        )
    ids = x.ids
    if not op.keepdims:
        ids = ids.reshape([n for i, n in enumerate(ids.shape) if i not in axes])
    return Effect(IdTensor(ids, tuple(call.shape)))
