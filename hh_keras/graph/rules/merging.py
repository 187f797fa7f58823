"""Where branches meet: sums and products tie channels, concatenation lines them up."""

from typing import Any

import keras
import numpy as np

from hh_keras.graph.biases import is_mistaken, is_sum
from hh_keras.graph.ids import AS_BEFORE, IdTensor
from hh_keras.graph.rules.registry import (
    Effect,
    RuleCall,
    Take,
    register_rule,
    takes_grids,
)

_L = keras.layers


@register_rule(_L.Add, _L.Subtract, _L.Multiply, _L.Average, _L.Maximum, _L.Minimum)
@takes_grids
def merge_layer(layer: Any, call: RuleCall) -> Effect:
    if any(_is_array(x) for x in keras.tree.flatten(call.args)):
        return call.stops("combines channels with a constant array")
    if len({x.rank for x in call.inputs}) > 1:
        return call.stops("merges tensors of different ranks")
    shapes = [x.shape for x in call.inputs]
    if is_sum(layer) and len(shapes) == 2 and is_mistaken(*shapes):
        return call.stops(_MISTAKEN)
    return Effect(tie_broadcast(call, call.inputs))


_MISTAKEN = (
    "adds numbers to channels that broadcasting adds to positions, as Keras does where "
    "there are as many"
)


@register_rule("keras.applications.CustomScaleLayer")
def residual_scale(layer: Any, call: RuleCall) -> Effect:
    return Effect(tie_broadcast(call, call.inputs))


@register_rule(
    *(
        f"keras.ops.{name}"
        for name in """
        Add Divide DivideNoNan Equal Greater GreaterEqual Less LessEqual LogicalAnd
        LogicalOr Maximum Minimum Multiply NotEqual Power SquaredDifference Subtract
        TrueDivide Where
        """.split()
    )
)
@takes_grids
def binary_operation(op: Any, call: RuleCall) -> Effect:
    """Of an array with a number for each channel those stay whose channels do."""
    if all(x.is_fixed for x in call.inputs):
        return Effect(tie_broadcast(call, call.inputs))
    if is_sum(op) and is_mistaken(*(np.shape(a) for a in _two(call))):
        return call.stops(_MISTAKEN)
    places = [*enumerate(call.args), *call.kwargs.items()]
    arrays = {place: np.asarray(a) for place, a in places if _is_array(a)}
    taken = {place: _taken(call, array) for place, array in arrays.items()}
    if any(x is None for x in taken.values()):
        return call.stops("combines channels with a constant array")
    taken = {place: x for place, x in taken.items() if isinstance(x, Take)}
    return Effect(tie_broadcast(call, call.inputs), arguments=taken)


def _two(call):
    """The operands of a sum."""
    return [*call.args, *call.kwargs.values()][:2]


def _taken(call, array):
    """What of an array goes with the channels: a `Take`, or all that is there.

    None if that cannot be told.
    """
    shape = array.shape
    axes = {a - x.rank for x in call.inputs for a in x.varying}
    own = [a for a in axes if -a <= len(shape) and shape[a] > 1]
    if not axes or len(own) > 1:
        return None
    if not own:
        return array
    (axis,) = own
    x = next(x for x in call.inputs if axis + x.rank in x.varying)
    ids = call.along(x, axis)
    return Take(array, ids, axis) if len(ids) == shape[axis] else None


def _is_array(a):
    return not isinstance(a, IdTensor) and np.ndim(a) > 0 and np.size(a) > 1


def tie_broadcast(call: RuleCall, operands: list) -> IdTensor:
    """Ties operands elementwise, as numpy broadcasts them.

    An operand that has size 1 where the result has channels is not tied: all
    channels share it, so it is frozen if it is a channel itself.
    """
    shape = tuple(call.shape)
    rank = len(shape)
    first = operands[0]
    if all(x.shape == shape and x.ids.shape == first.ids.shape for x in operands):
        for x in operands[1:]:
            call.tie(first.ids, x.ids)
        return IdTensor(call.grid(first.ids), shape)
    aligned = [_align(x, rank) for x in operands]
    varying = {a for x in aligned for a in x.varying}
    if len(varying) > 1:
        return _tie_axes(call, aligned, varying, shape)
    partners: list = []
    shared: list = []
    for x in aligned:
        bcast = [
            a for a in range(rank) if x.shape[a] == 1 and shape[a] not in (1, None)
        ]
        (shared if set(bcast) & varying else partners).append(x)
    whole = [x for x in partners if not _is_broadcast(x, shape)]
    if not varying and whole:
        shared += [x for x in partners if x not in whole]
        partners = whole
    for x in shared:
        if (x.ids >= 0).any():
            call.freeze(x, f"{call.path}: broadcast over other channels")
    if not partners:
        return call.fixed(shape, "broadcast in two directions")
    first = partners[0].ids
    for x in partners[1:]:
        call.tie(*np.broadcast_arrays(first, x.ids))
    ids = max((x.ids for x in partners), key=np.size)
    ids = np.broadcast_to(ids, np.broadcast_shapes(*(x.ids.shape for x in partners)))
    return IdTensor(call.rectangle(ids), shape)


def _tie_axes(call, operands, varying, shape):
    """Ties operands axis by axis, where they have channels on several.

    Where channels meet positions of another operand, whose number is fixed, they stay.
    """
    vectors = {}
    for axis in sorted(varying):
        own = [call.along(x, axis) for x in operands if axis in x.varying]
        for ids in own[1:]:
            call.tie(own[0], ids)
        if any(axis not in x.varying and x.shape[axis] != 1 for x in operands):
            call.freeze(own[0], f"{call.path}: channels meet positions")
        else:
            vectors[axis] = own[0]
    for x in operands:
        if not x.varying and (x.ids >= 0).any():
            call.freeze(x, f"{call.path}: broadcast over other channels")
    return call.placed(vectors, shape, "channels that meet positions")


def _is_broadcast(x, shape):
    return any(n == 1 and m not in (1, None) for n, m in zip(x.shape, shape))


def _align(x, rank):
    missing = rank - x.rank
    shape = (1,) * missing + tuple(x.shape)
    return IdTensor(x.ids.reshape((1,) * missing + x.ids.shape), shape, x.rows)


@register_rule(_L.Concatenate, "keras.ops.Concatenate")
@takes_grids
def concatenate(op: Any, call: RuleCall) -> Effect:
    return Effect(join(call, _parts(call), op.axis % len(call.shape)))


def _parts(call):
    """The tensors that are joined; constants hold values that belong to no channel."""
    parts = keras.tree.flatten((call.args, call.kwargs))
    return [
        x if isinstance(x, IdTensor) else call.fixed(np.shape(x), "a constant")
        for x in parts
        if hasattr(x, "shape")
    ]


def join(call: RuleCall, parts: list, axis: int) -> IdTensor:
    """Ids of tensors put one behind the other along `axis`."""
    shape = tuple(call.shape)
    if axis == 0 and shape[0] is None:
        return _join_batches(call, parts, shape)
    if len({x.varying for x in parts if x.varying}) > 1:
        for x in parts:
            call.freeze(x, f"{call.path}: channels meet positions")
        return call.fixed(shape, "channels that meet positions")
    same = all(x.ids.shape[axis] == 1 for x in parts) and (
        len({x.ids.tobytes() for x in parts}) == 1
    )
    if same:
        return IdTensor(parts[0].ids, shape)
    varying = parts[0].varying
    if len(varying) > 1 and all(x.varying for x in parts):
        return _join_grids(call, parts, axis)
    if any(x.shape[axis] is None for x in parts):
        for x in parts:
            call.freeze(x, f"{call.path}: joined along an axis of unknown size")
        return call.fixed(shape, "joined along an axis of unknown size")
    others = np.broadcast_shapes(
        *(x.ids.shape[:axis] + (1,) + x.ids.shape[axis + 1 :] for x in parts)
    )
    full = [
        np.broadcast_to(x.ids, others[:axis] + (x.shape[axis],) + others[axis + 1 :])
        for x in parts
    ]
    ids = np.concatenate(full, axis)
    # Channels keep their own axis when branches are joined along another one.
    side = [a for a, n in enumerate(others) if n > 1]
    return IdTensor(call.rectangle(ids, side[-1] if side else axis), shape)


def _join_grids(call, parts, axis):
    """Channels on several axes: those of the others are tied."""
    vectors = {}
    for a in parts[0].varying:
        each = [call.along(x, a) for x in parts]
        vectors[a] = each[0] if a != axis else np.concatenate(each)
        for ids in each[1:] if a != axis else ():
            call.tie(each[0], ids)
    return call.placed(vectors, tuple(call.shape), "no channels")


def _join_batches(call, parts, shape):
    """More examples for the same layers: channels are tied as in a sum."""
    first = parts[0]
    for x in parts[1:]:
        call.book.tie_tensors(first, x, call.path)
    rows = [x.rows for x in parts]
    rows = [None if r is AS_BEFORE else r for r in rows]
    return IdTensor(first.ids, shape, None if None in rows else sum(rows))


@register_rule("keras.ops.Stack")
@takes_grids
def stack(op: Any, call: RuleCall) -> Effect:
    axis = op.axis % len(call.shape)
    parts = [
        IdTensor(
            np.expand_dims(x.ids, axis), x.shape[:axis] + (1,) + x.shape[axis:], x.rows
        )
        for x in _parts(call)
    ]
    output = join(call, parts, axis)
    # A new axis in front of the batch leaves its examples as they are.
    return Effect(IdTensor(output.ids, output.shape, call.rows))
