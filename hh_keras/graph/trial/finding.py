"""What a trial proved, and what that means for the channels of one call."""

import dataclasses
from typing import Any

from hh_keras.graph.ids import IdTensor, constant
from hh_keras.graph.rules.registry import Effect, RuleCall


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a trial proved, in terms of axes.

    Attributes:
        passes: axis of each output that holds the input's channels, or None; empty if
            the layer makes channels of its own.
        makes: the axis of the first output on which new channels lie, or None.
        reads: whether input channels can leave that are set to zero.
        weights: weight name → for each axis "in", "out" or None.
        config: config key → "in" or "out".
        macs: multiply-accumulates of an example, as counted at the sizes of the trial;
            None if they cannot be counted.
        scales_with: which channels the count is proportional to.
    """

    passes: tuple = ()
    makes: int | None = None
    reads: bool = False
    weights: dict = dataclasses.field(default_factory=dict)
    config: dict = dataclasses.field(default_factory=dict)
    macs: Any = 0
    scales_with: tuple = ()


def effect_of(call: RuleCall, found: Finding) -> Effect:
    """A finding in terms of the channel ids of one call."""
    if found.makes is None:
        return _passing_effect(call, found)
    size = call.shape[found.makes]
    outputs = call.fresh(size)
    varying = [x for x in call.inputs if x.varying]
    x = (varying or call.inputs)[0]
    inputs = call.along(x, x.varying[0]) if varying else None
    together = "reads its input channels together, so that they stay"
    held = None if found.reads or not varying else together
    if held:
        for each in call.inputs:
            call.freeze(each, f"{call.path}: {held}")
    sides = {"in": inputs if found.reads else None, "out": outputs}
    return Effect(
        call.produced(outputs, found.makes),
        produces=outputs,
        weights={
            name: tuple(sides.get(side) for side in axes)
            for name, axes in found.weights.items()
        },
        config={key: outputs for key in found.config},
        contracts=((0, x.varying[0], inputs),) if found.reads else (),
        inputs=inputs,
        held=held,
        **_products(call, found, {"in": inputs, "out": outputs}),
    )


def _passing_effect(call, found):
    varying = [x for x in call.inputs if x.varying]
    if not varying:
        fixed = call.x.ids.flat[0]
        return Effect([constant(fixed, shape) for shape in call.shapes])
    ids = call.along(varying[0], varying[0].varying[0])
    for x in varying[1:]:
        call.tie(ids, call.along(x, x.varying[0]))
    for x in call.inputs:
        if not x.varying and not x.is_fixed:
            call.freeze(x, f"{call.path}: one channel that works on many")
    outputs = []
    for axis, shape in zip(found.passes, call.shapes):
        form = [1] * len(shape)
        if axis is not None:
            form[axis] = -1
        tensor = IdTensor(ids.reshape(form), tuple(shape)) if axis is not None else None
        outputs.append(tensor or call.fixed(shape, "no channels left"))
    return Effect(
        outputs,
        weights={
            name: tuple(ids if side else None for side in axes)
            for name, axes in found.weights.items()
        },
        config={key: ids for key in found.config},
        **_products(call, found, {"in": ids}),
    )


def _products(call, found, sides):
    if found.macs is None:
        return {"uncounted": True}
    if not found.macs:
        return {}
    if found.macs != found.macs:
        return {"products": ((None, ()),)}
    factors = tuple(sides[side] for side in found.scales_with)
    share = found.macs
    for ids in factors:
        share = share / len(ids)
    return {"products": ((share, factors),)}
