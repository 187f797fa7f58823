"""Products of two tensors of activations."""

from typing import Any

import keras

from hh_keras.graph.ids import on_axis
from hh_keras.graph.rules.dense import expand
from hh_keras.graph.rules.registry import (
    Effect,
    RuleCall,
    register_rule,
    takes_grids,
)

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
@takes_grids
def matmul(op: Any, call: RuleCall) -> Effect:
    if len(call.inputs) != 2 or min(t.rank for t in call.inputs) < 2:
        return call.stops("product with a constant or a vector")
    a, b = call.inputs
    rank, shape = len(call.shape), tuple(call.shape)
    vectors = _batch(call, a, b, shape)
    if a.rank - 2 in a.varying:
        vectors[rank - 2] = call.along(a, -2)
    if b.rank - 1 in b.varying:
        vectors[rank - 1] = call.along(b, -1)
    output = call.placed(vectors, shape, "product of activations")
    return _contract(call, a, b, -1, -2, output)


def _batch(call, a, b, shape):
    """Axis of the output → channels on it, where both are batched over them."""
    vectors = {}
    for axis in range(len(shape) - 2):
        at = [(x, axis - len(shape) + x.rank) for x in (a, b)]
        at = [(x, i) for x, i in at if i >= 0]
        own = [call.along(x, i) for x, i in at if i in x.varying]
        for ids in own[1:]:
            call.tie(own[0], ids)
        if own and any(i not in x.varying and x.shape[i] != 1 for x, i in at):
            call.freeze(own[0], f"{call.path}: channels meet positions")
        elif own:
            vectors[axis] = own[0]
    return vectors


@register_rule("keras.ops.Einsum")
@takes_grids
def einsum(op: Any, call: RuleCall) -> Effect:
    """Letters name axes: of one letter channels are tied, or meet positions."""
    if "->" not in op.subscripts or len(call.inputs) != 2:
        return call.stops(f"sum '{op.subscripts}' of constants, or without an arrow")
    *terms, out = expand(op.subscripts, [x.rank for x in call.inputs])
    if [len(t) for t in (*terms, out)] != [x.rank for x in call.inputs] + [
        len(call.shape)
    ]:
        return call.stops(f"sum '{op.subscripts}' is not understood")
    ids = _letters(call, terms)
    vectors = {i: ids[c] for i, c in enumerate(out) if c in ids}
    output = call.placed(vectors, call.shape, "product of activations")
    summed = [c for c in ids if c not in out]
    macs = call.positions(call.shape, *(i for i, c in enumerate(out) if c in ids))
    for c in dict.fromkeys("".join(terms)):
        if c not in out and c not in ids:
            size = next(
                x.shape[t.index(c)] for x, t in zip(call.inputs, terms) if c in t
            )
            macs = None if None in (macs, size) else macs * size
    place = {c: next(k for k, t in enumerate(terms) if c in t) for c in summed}
    return Effect(
        output,
        contracts=tuple((k, terms[k].index(c), ids[c]) for c, k in place.items()),
        products=((macs, tuple(ids.values())),),
    )


def _letters(call, terms):
    """Letter → its channels, tied over the operands that have it."""
    ids, fixed = {}, set()
    for x, term in zip(call.inputs, terms):
        for axis, c in enumerate(term):
            if axis not in x.varying:
                fixed.update(c if x.shape[axis] != 1 else "")
            elif c in ids:
                call.tie(ids[c], call.along(x, axis))
            else:
                ids[c] = call.along(x, axis)
    for c in [c for c in ids if c in fixed]:
        call.freeze(ids.pop(c), f"{call.path}: channels meet positions")
    return ids


@register_rule(_L.Dot)
def dot(layer: Any, call: RuleCall) -> Effect:
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
