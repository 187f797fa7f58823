"""Padding: of space, or of channels, which gets planes of a constant beside them."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from hh_keras.graph.rules.registry import Effect, RuleCall, Take, register_rule

_L = keras.layers


@register_rule("keras.ops.Pad")
def pad(op: Any, call: RuleCall) -> Effect:
    if len(call.inputs) > 1:
        return call.stops("pads with a value that is computed")
    widths = np.broadcast_to(np.asarray(op.pad_width), (call.x.rank, 2)).tolist()
    return _padded(call, widths, lambda widths: {"pad_width": widths}, op.mode)


@register_rule(_L.ZeroPadding1D, _L.ZeroPadding2D, _L.ZeroPadding3D)
def zero_padding(layer: Any, call: RuleCall) -> Effect:
    """Of axes in space, where a transposition may have put the channels."""
    start = 2 if getattr(layer, "data_format", None) == "channels_first" else 1
    stop = start + call.x.rank - 2
    widths = [(0, 0)] * call.x.rank
    widths[start:stop] = layer.padding if stop - start > 1 else [layer.padding]

    def config(widths):
        sides = tuple(widths[start:stop])
        return {"padding": sides if len(sides) > 1 else sides[0]}

    return _padded(call, widths, config)


def _padded(
    call: RuleCall, widths: list, config: Callable, mode: str = "constant"
) -> Effect:
    """The effect of padding each axis by its `(before, after)`.

    Planes are channels that no layer makes: they may leave, alone or with those that
    they are summed with.

    Args:
        call: the call.
        widths: for each axis.
        config: `config(widths)`, the entries of the operation's config.
        mode: what is put there.
    """
    x = call.x
    if not x.varying and any(any(w) and n == 1 for w, n in zip(widths, x.shape)):
        call.freeze(x, f"{call.path}: pads an axis of a single channel")
    padded = [axis for axis in x.varying if any(widths[axis])]
    if not padded:
        return call.passes()
    before, after = widths[padded[0]]
    if len(x.varying) > 1 or mode != "constant" or min(before, after) < 0:
        return call.stops(f"pads channels in mode '{mode}'")
    planes = call.book.fresh(before + after, None)
    ids = np.concatenate([planes[:before], x.ids.ravel(), planes[before:]])
    sides = np.repeat(np.eye(2, dtype=int), (before, after), 0)
    widths[padded[0]] = Take(sides.tolist(), planes, 0, summed=True)
    output = call.produced(ids, padded[0])
    return Effect(output, config=config(widths), adds=planes)
