"""Convolutions: sums over channels at every position, and depthwise ones."""

from typing import Any

import keras
import numpy as np

from hh_keras.graph.rules.activations import freeze_if_mixed
from hh_keras.graph.rules.registry import Effect, RuleCall, register_rule

# Below this many channels per group whole groups leave, as in the paper's RegNets.
WHOLE_GROUP_WIDTH = 16

_L = keras.layers


def _channel_axis(layer, rank):
    return 1 if layer.data_format == "channels_first" else rank - 1


def _varies_in_space(call, axis):
    return any(a != axis for a in call.x.varying)


def _bias(layer, ids):
    return {"bias": (ids,)} if layer.use_bias else {}


@register_rule(_L.Conv1D, _L.Conv2D, _L.Conv3D)
def conv(layer: Any, call: RuleCall) -> Effect:
    axis = _channel_axis(layer, call.x.rank)
    if _varies_in_space(call, axis):
        return call.stops("convolves along an axis of channels")
    inputs = call.along(call.x, axis)
    outputs = call.fresh(layer.filters)
    freeze_if_mixed(layer, call, outputs)
    space = (None,) * layer.rank
    positions = call.positions(call.shape, axis)
    if layer.groups > 1:
        return _grouped_conv(layer, call, axis, inputs, outputs, space, positions)
    return Effect(
        call.produced(outputs, axis),
        produces=outputs,
        weights={"kernel": (*space, inputs, outputs), **_bias(layer, outputs)},
        config={"filters": outputs},
        contracts=((0, axis, inputs),),
        kernels={"kernel": layer.rank},
        uses={"kernel": positions},
        inputs=inputs,
    )


def _grouped_conv(layer, call, axis, inputs, outputs, space, positions):
    """Narrow groups leave whole, wide ones lose the same positions in every group."""
    g = layer.groups
    ins, outs = inputs.reshape(g, -1), outputs.reshape(g, -1)
    if ins.shape[1] < WHOLE_GROUP_WIDTH:
        for block in (ins, outs):
            call.tie(np.broadcast_to(ins[:, :1], block.shape), block)
        return Effect(
            call.produced(outputs, axis),
            produces=outputs,
            weights={"kernel": (*space, None, outputs), **_bias(layer, outputs)},
            config={"filters": outputs, "groups": ins[:, 0]},
            uses={"kernel": positions},
            inputs=inputs,
        )
    for block in (ins, outs):
        call.tie(np.broadcast_to(block[:1], block.shape), block)
    return Effect(
        call.produced(outputs, axis),
        produces=outputs,
        weights={"kernel": (*space, ins[0], outputs), **_bias(layer, outputs)},
        config={"filters": outputs},
        contracts=((0, axis, inputs),),
        kernels={"kernel": layer.rank},
        uses={"kernel": positions},
        inputs=inputs,
    )


@register_rule(_L.Conv1DTranspose, _L.Conv2DTranspose, _L.Conv3DTranspose)
def conv_transpose(layer: Any, call: RuleCall) -> Effect:
    axis = _channel_axis(layer, call.x.rank)
    if _varies_in_space(call, axis):
        return call.stops("convolves along an axis of channels")
    inputs = call.along(call.x, axis)
    outputs = call.fresh(layer.filters)
    freeze_if_mixed(layer, call, outputs)
    return Effect(
        call.produced(outputs, axis),
        produces=outputs,
        weights={
            "kernel": ((None,) * layer.rank + (outputs, inputs)),
            **_bias(layer, outputs),
        },
        config={"filters": outputs},
        contracts=((0, axis, inputs),),
        kernels={"kernel": layer.rank + 1},
        # Every input position meets the whole kernel once.
        uses={"kernel": call.positions(call.x.shape, axis)},
        inputs=inputs,
    )


@register_rule(_L.DepthwiseConv1D, _L.DepthwiseConv2D)
def depthwise_conv(layer: Any, call: RuleCall) -> Effect:
    axis = _channel_axis(layer, call.x.rank)
    if _varies_in_space(call, axis):
        return call.stops("convolves along an axis of channels")
    inputs = call.along(call.x, axis)
    outputs = np.repeat(inputs, layer.depth_multiplier)
    freeze_if_mixed(layer, call, outputs)
    return Effect(
        call.produced(outputs, axis),
        weights={
            "kernel": ((None,) * layer.rank + (inputs, None)),
            **_bias(layer, outputs),
        },
        uses={"kernel": call.positions(call.shape, axis)},
        inputs=inputs,
    )


@register_rule(_L.SeparableConv1D, _L.SeparableConv2D)
def separable_conv(layer: Any, call: RuleCall) -> Effect:
    axis = _channel_axis(layer, call.x.rank)
    if _varies_in_space(call, axis):
        return call.stops("convolves along an axis of channels")
    inputs = call.along(call.x, axis)
    middle = np.repeat(inputs, layer.depth_multiplier)
    outputs = call.fresh(layer.filters)
    freeze_if_mixed(layer, call, outputs)
    space = (None,) * layer.rank
    positions = call.positions(call.shape, axis)
    return Effect(
        call.produced(outputs, axis),
        produces=outputs,
        weights={
            "depthwise_kernel": (*space, inputs, None),
            "pointwise_kernel": (*space, middle, outputs),
            **_bias(layer, outputs),
        },
        config={"filters": outputs},
        contracts=((0, axis, inputs),),
        kernels={"depthwise_kernel": layer.rank},
        uses={"depthwise_kernel": positions, "pointwise_kernel": positions},
        inputs=inputs,
    )
