"""Layers that rearrange values: the same rearrangement is done to the ids."""

import dataclasses
from fractions import Fraction
from typing import Any

import keras
import numpy as np

from hh_keras.graph.ids import IdTensor, collapse, reshape, rows_after
from hh_keras.graph.rules.registry import (
    Effect,
    RuleCall,
    register_rule,
    takes_grids,
)

_L = keras.layers


def _hold(call, x):
    """A single channel whose axis goes: there can be no second one."""
    if not x.varying and (x.ids >= 0).any():
        call.freeze(x, f"{call.path}: takes a single channel for none")


def _reshaped(call, x, shape):
    """The ids of `x` in a new shape, or None if they cannot be followed."""
    ids = reshape(x, shape)
    if ids is None and len(x.varying) > 1:
        x, ids = _with_an_axis_held(call, x, shape)
    if ids is None:
        return None
    return IdTensor(call.grid(ids), tuple(shape), rows_after(x, shape))


def _with_an_axis_held(call, x, shape):
    """A grid whose ids can be followed once those of one axis stay, as heads must
    that go into the batch."""
    for axis in x.varying:
        rest = {a: call.along(x, a) for a in x.varying if a != axis}
        y = dataclasses.replace(x, ids=call.spanned(rest, x.rank))
        ids = reshape(y, shape)
        if ids is not None:
            call.freeze(call.along(x, axis), f"{call.path}: in the batch")
            return y, ids
    return x, None


def _stopped(call, reason):
    """The effect of a reshape that is not followed; how often an example stands is."""
    effect = call.stops(reason)
    return dataclasses.replace(
        effect,
        outputs=[
            dataclasses.replace(x, rows=rows_after(call.x, x.shape))
            for x in effect.outputs
        ],
    )


def _sizes(call, output, written):
    """The written sizes of a shape, with ids in place of the sizes that they give."""
    offset = output.rank - len(written)
    return tuple(
        call.along(output, i + offset)
        if i + offset in output.varying and n != -1
        else n
        for i, n in enumerate(written)
    )


@register_rule(_L.Flatten)
@takes_grids
def flatten(layer: Any, call: RuleCall) -> Effect:
    x = call.x
    if layer.data_format == "channels_first" and x.rank > 2:
        order = (0, *range(2, x.rank), 1)
        x = _transposed(x, order, [x.shape[i] for i in order])
    output = _reshaped(call, x, call.shape)
    if output is None:
        return _stopped(call, "flattens an axis of unknown size")
    return Effect(output)


@register_rule(_L.Reshape)
@takes_grids
def reshape_layer(layer: Any, call: RuleCall) -> Effect:
    _hold(call, call.x)
    output = _reshaped(call, call.x, call.shape)
    if output is None:
        return _stopped(call, "moves channels into the batch or an unknown size")
    sizes = _sizes(call, output, layer.target_shape)
    return Effect(output, config={"target_shape": sizes} if output.varying else {})


@register_rule("keras.ops.Reshape")
@takes_grids
def reshape_operation(op: Any, call: RuleCall) -> Effect:
    _hold(call, call.x)
    output = _reshaped(call, call.x, call.shape)
    if output is None:
        return _stopped(call, "moves channels into the batch or an unknown size")
    written = op.newshape
    written = (written,) if isinstance(written, int) else tuple(written)
    sizes = _sizes(call, output, written)
    return Effect(output, config={"newshape": sizes} if output.varying else {})


def _transposed(x, order, shape):
    return IdTensor(np.transpose(x.ids, order), tuple(shape), x.rows)


@register_rule(_L.Permute)
@takes_grids
def permute(layer: Any, call: RuleCall) -> Effect:
    return Effect(_transposed(call.x, (0, *layer.dims), call.shape))


@register_rule("keras.ops.Transpose")
@takes_grids
def transpose(op: Any, call: RuleCall) -> Effect:
    order = op.axes or tuple(reversed(range(call.x.rank)))
    return Effect(_transposed(call.x, order, call.shape))


@register_rule("keras.ops.Swapaxes")
@takes_grids
def swapaxes(op: Any, call: RuleCall) -> Effect:
    ids = np.swapaxes(call.x.ids, op.axis1, op.axis2)
    return Effect(IdTensor(ids, tuple(call.shape)))


@register_rule("keras.ops.Moveaxis")
@takes_grids
def moveaxis(op: Any, call: RuleCall) -> Effect:
    ids = np.moveaxis(call.x.ids, op.source, op.destination)
    return Effect(IdTensor(ids, tuple(call.shape)))


@register_rule("keras.ops.Squeeze", "keras.ops.ExpandDims")
@takes_grids
def unit_axes(op: Any, call: RuleCall) -> Effect:
    """Axes of size 1 come and go; the others keep their order."""
    x, axes = call.x, op.axis
    if len(call.shape) > x.rank:
        axes = tuple(axes) if isinstance(axes, (list, tuple)) else axes
        return Effect(IdTensor(np.expand_dims(x.ids, axes), tuple(call.shape)))
    _hold(call, x)
    if axes is None:
        axes = [i for i, n in enumerate(x.shape) if n == 1]
    axes = tuple(axes) if isinstance(axes, (list, tuple)) else axes
    output = IdTensor(np.squeeze(x.ids, axes), tuple(call.shape))
    # Written out, or an axis of channels would go too once one is left of them.
    return Effect(
        output, config={"axis": axes} if op.axis is None and x.varying else {}
    )


def _channels_last_but(op, call):
    """The channel axis, or None if ids differ along another one."""
    first = getattr(op, "data_format", None) == "channels_first"
    axis = 1 if first else call.x.rank - 1
    return axis if set(call.x.varying) <= {axis} else None


@register_rule("keras.ops.DepthToSpace")
def depth_to_space(op: Any, call: RuleCall) -> Effect:
    """A channel of the output is one channel of each of the block_size² runs."""
    axis = _channels_last_but(op, call)
    if axis is None:
        return call.stops("shuffles an axis of channels in space")
    runs = call.along(call.x, axis).reshape(op.block_size**2, -1)
    call.tie(np.broadcast_to(runs[:1], runs.shape), runs)
    return Effect(call.produced(runs[0], axis))


@register_rule("keras.ops.SpaceToDepth")
def space_to_depth(op: Any, call: RuleCall) -> Effect:
    axis = _channels_last_but(op, call)
    if axis is None:
        return call.stops("shuffles an axis of channels in space")
    ids = call.along(call.x, axis)
    return Effect(call.produced(np.tile(ids, op.block_size**2), axis))


@register_rule("keras.ops.ExtractPatches", "tf.image.extract_patches")
def extract_patches(op: Any, call: RuleCall) -> Effect:
    """Every position of a patch brings all channels along, one after another."""
    axis = _channels_last_but(op, call)
    if axis is None or axis == 1:
        return call.stops("cuts patches along an axis of channels")
    if call.x.is_fixed:
        return call.passes()
    ids = call.along(call.x, axis)
    return Effect(call.produced(np.tile(ids, call.shape[axis] // len(ids)), axis))


@register_rule(_L.RepeatVector)
def repeat_vector(layer: Any, call: RuleCall) -> Effect:
    return Effect(IdTensor(call.x.ids[:, None, :], tuple(call.shape)))


@register_rule("keras.ops.BroadcastTo")
@takes_grids
def broadcast_to(op: Any, call: RuleCall) -> Effect:
    x = call.x
    missing = len(call.shape) - x.rank
    ids = x.ids.reshape((1,) * missing + x.ids.shape)
    output = IdTensor(ids, tuple(call.shape))
    sizes = _sizes(call, output, tuple(op.shape))
    return Effect(output, config={"shape": sizes} if output.varying else {})


@register_rule("keras.ops.Flip")
@takes_grids
def flip(op: Any, call: RuleCall) -> Effect:
    return Effect(IdTensor(np.flip(call.x.ids, op.axis), tuple(call.shape)))


@register_rule("keras.ops.Split")
@takes_grids
def split(op: Any, call: RuleCall) -> Effect:
    x, axis = call.x, op.axis % call.x.rank
    if axis == 0 and x.shape[0] is None:
        return _split_batch(op, call)
    if axis not in x.varying or op.indices_or_sections == 1:
        return call.passes()
    parts = op.indices_or_sections
    ids = call.along(x, axis)
    if isinstance(parts, int):
        step = len(ids) // parts
        parts = [step * k for k in range(1, parts)]
    pieces = np.split(x.ids, list(parts), axis)
    outputs = [
        IdTensor(collapse(piece), tuple(s)) for piece, s in zip(pieces, call.shapes)
    ]
    return Effect(outputs, config={"indices_or_sections": [ids[:k] for k in parts]})


def _split_batch(op, call):
    """Pieces of the batch: known are those of a split into equal ones."""
    parts, rows = op.indices_or_sections, call.rows
    even = isinstance(parts, int) and rows is not None
    each = Fraction(rows) / parts if even else None
    return Effect([IdTensor(call.x.ids, tuple(s), each) for s in call.shapes])


@register_rule("keras.ops.Unstack")
@takes_grids
def unstack(op: Any, call: RuleCall) -> Effect:
    axis = op.axis % call.x.rank
    if call.x.shape[axis] is None or call.x.varying == (axis,):
        return call.stops("takes channels, or examples, one by one")
    if axis in call.x.varying:
        call.freeze(call.along(call.x, axis), f"{call.path}: takes them one by one")
        pieces = [collapse(call.x.ids.take(k, axis)) for k in range(len(call.shapes))]
        return Effect([IdTensor(x, tuple(s)) for x, s in zip(pieces, call.shapes)])
    ids = call.x.ids.take(0, axis)
    return Effect([IdTensor(ids, tuple(shape)) for shape in call.shapes])


@register_rule("keras.ops.Repeat")
@takes_grids
def repeat(op: Any, call: RuleCall) -> Effect:
    """Each number several times, as keys for all the heads that share them."""
    if not isinstance(op.repeats, int) or op.axis is None:
        return call.stops("repeats numbers in several ways")
    axis = op.axis % call.x.rank
    if axis not in call.x.varying:
        return call.passes()
    ids = np.repeat(call.x.ids, op.repeats, axis)
    return Effect(IdTensor(ids, tuple(call.shape)))


@register_rule("keras.ops.Take")
@takes_grids
def take(op: Any, call: RuleCall) -> Effect:
    """Places of a table by their numbers, all channels of each."""
    if len(call.inputs) > 2 or op.axis is None:
        return call.stops("takes places of a flat table")
    table = call.args[0]
    axis = op.axis % table.rank if isinstance(table, IdTensor) else 0
    if len(call.inputs) == 2:
        call.freeze(call.inputs[1], f"{call.path}: channels used as indices")
    if not isinstance(table, IdTensor):
        return Effect(call.fixed(call.shape, "a table of constants"))
    if axis in table.varying:
        return call.stops("picks channels by numbers")
    more = len(call.shape) - table.rank
    before, behind = table.ids.shape[:axis], table.ids.shape[axis + 1 :]
    ids = table.ids.reshape((*before, *(1,) * (more + 1), *behind))
    return Effect(IdTensor(ids, tuple(call.shape)))


@register_rule("keras.ops.GetItem")
@takes_grids
def get_item(op: Any, call: RuleCall) -> Effect:
    """Slices of channels move with the channels that are left before them."""
    x = call.x
    key = call.args[1] if len(call.args) > 1 else call.kwargs.get("key")
    key = tuple(key) if isinstance(key, (tuple, list)) else (key,)  # a list, once saved
    if any(not isinstance(k, (int, slice, type(None), type(...))) for k in key):
        return call.stops("picks channels by an array")
    used = sum(k is not None and k is not ... for k in key)
    fill = (slice(None),) * (x.rank - used)
    at = key.index(...) if ... in key else len(key)
    full = key[:at] + fill + key[at + 1 :]
    if any(isinstance(k, int) for k in full[1:]):
        _hold(call, x)
    new_key: list = []
    index: list = []
    ids, axis = x.ids, 0
    for k in full:
        if k is None:
            index.append(None)
            new_key.append(None)
            continue
        if axis in x.varying:
            picked, moved = _slice_channels(call, x, axis, k)
            if moved is None and isinstance(k, int) and len(x.varying) > 1:
                call.freeze(call.along(x, axis), f"{call.path}: picks one of them")
                moved = k
            if moved is None:
                return call.stops("picks channels one by one or with a stride")
            index.append(picked)
            new_key.append(moved)
        else:
            index.append(0 if isinstance(k, int) else slice(None))
            new_key.append(k)
        axis += 1
    ids = collapse(ids[tuple(index)])
    position = 1 if len(call.args) > 1 else "key"
    arguments = {position: tuple(new_key)} if x.varying else {}
    return Effect(IdTensor(ids, tuple(call.shape)), arguments=arguments)


@register_rule("keras.ops.Slice")
@takes_grids
def slice_operation(op: Any, call: RuleCall) -> Effect:
    """A block of a tensor: an axis of channels is taken whole, or cut at a place."""
    x = call.x
    given = call.args[1] if len(call.args) > 1 else call.kwargs.get("start_indices")
    starts = list(given) if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(n, (int, np.integer)) for n in starts):
        return call.stops("takes channels from a place that is computed")
    ids = x.ids
    sizes = list(op.shape)
    for axis in x.varying:
        first, n = starts[axis], call.shape[axis]
        along = call.along(x, axis)
        starts[axis], sizes[axis] = along[:first], along[first : first + n]
        ids = ids.take(range(first, first + n), axis)
    position = 1 if len(call.args) > 1 else "start_indices"
    return Effect(
        IdTensor(collapse(ids), tuple(call.shape)),
        config={"shape": tuple(sizes)} if x.varying else {},
        arguments={position: tuple(starts)} if x.varying else {},
    )


def _slice_channels(call, x, axis, k):
    """Returns the slice to take of the ids, and the same with ids as its bounds."""
    if not isinstance(k, slice):
        return k, None
    n = x.shape[axis]
    start, stop, step = k.indices(n)
    if (start, stop, step) == (0, n, 1):
        return slice(None), slice(None)
    ids = call.along(x, axis)
    if step == -1 and start == n - 1 and stop == -1:
        return k, k
    if step != 1:
        return k, None
    return slice(start, stop), slice(ids[:start], ids[:stop], None)
