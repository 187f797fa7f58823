"""Products of two tensors of activations."""

import keras

from hh_keras.graph.ids import on_axis
from hh_keras.graph.rules.registry import Effect, register_rule

_L = keras.layers


def _contract(call, a, b, axis_a, axis_b, output):
    """The effect of summing over an axis of two tensors of activations.

    Channels on both sides are tied and consumed. An axis of positions, the channels
    being elsewhere, is only summed; channels that meet positions must stay.
    """
    sides = (a, axis_a % a.rank), (b, axis_b % b.rank)
    moving = tuple(call.along(output, i) for i in output.varying)
    each = call.positions(output.shape, *output.varying)
    summed = a.shape[axis_a]
    channels = [axis in x.varying for x, axis in sides]
    if not all(channels):
        for (x, axis), varies in zip(sides, channels):
            if varies:
                call.freeze(call.along(x, axis), f"{call.path}: meets no channels")
        macs = None if None in (each, summed) else each * summed
        return Effect(output, products=((macs, moving),))
    left, right = (call.along(x, axis) for x, axis in sides)
    call.tie(left, right)
    return Effect(
        output,
        contracts=((0, axis_a % a.rank, left),),
        products=((each, (left, *moving)),),
    )


@register_rule("keras.ops.Matmul")
def matmul(op, call):
    if len(call.inputs) != 2 or min(t.rank for t in call.inputs) < 2:
        return call.stops("product with a constant or a vector")
    a, b = call.inputs
    rank = len(call.shape)
    rows, columns = a.rank - 2, b.rank - 1
    batch_varies = any(i < a.rank - 2 for i in a.varying) or any(
        i < b.rank - 2 for i in b.varying
    )
    if batch_varies:
        return call.stops("product batched over an axis of channels")
    return _contract(call, a, b, -1, -2, _outer(call, a, rows, b, columns, rank))


def _outer(call, a, rows, b, columns, rank):
    """Ids of a product's output: the rows of `a`, the columns of `b`."""
    row_varies, column_varies = rows in a.varying, columns in b.varying
    if row_varies and column_varies:
        call.freeze(a, f"{call.path}: product of two axes of channels")
        row_varies = False
    if column_varies:
        return on_axis(call.along(b, columns), rank - 1, call.shape)
    if row_varies:
        return on_axis(call.along(a, rows), rank - 2, call.shape)
    return call.fixed(call.shape, "product of activations")


@register_rule(_L.Dot)
def dot(layer, call):
    a, b = call.inputs
    axes = layer.axes
    axis_a, axis_b = (axes, axes) if isinstance(axes, int) else axes
    axis_a, axis_b = axis_a % a.rank, axis_b % b.rank
    if layer.normalize:
        return call.stops("normalises over channels")
    kept = [(a, i) for i in range(a.rank) if i != axis_a]
    kept += [(b, i) for i in range(1, b.rank) if i != axis_b]
    varying = [(t, i) for t, i in kept if i in t.varying]
    if len(kept) != len(call.shape) or len(varying) > 1:
        if len(kept) == 1 and not varying:  # (batch,) becomes (batch, 1)
            output = call.fixed(call.shape, "sum over channels")
            return _contract(call, a, b, axis_a, axis_b, output)
        return call.stops("product of two axes of channels")
    if varying:
        t, i = varying[0]
        output = on_axis(call.along(t, i), kept.index((t, i)), call.shape)
    else:
        output = call.fixed(call.shape, "product of activations")
    return _contract(call, a, b, axis_a, axis_b, output)
