"""Layers and operations that work element by element, or on one channel at a time."""

from typing import Any

import keras
import numpy as np

from hh_keras.graph.rules.activations import activation_name, mixes_channels
from hh_keras.graph.rules.reductions import over_channels
from hh_keras.graph.rules.registry import (
    Effect,
    RuleCall,
    Take,
    register_rule,
    takes_grids,
)

_L = keras.layers


@register_rule(_L.Dropout)
@takes_grids
def dropout(layer: Any, call: RuleCall) -> Effect:
    """Sizes in `noise_shape` follow the channels."""
    sizes = layer.noise_shape
    if not sizes or call.x.is_fixed:
        return call.passes()
    shape = tuple(
        call.along(call.x, i) if i in call.x.varying and n not in (None, 1) else n
        for i, n in enumerate(sizes)
    )
    return call.passes(config={"noise_shape": shape})


@register_rule(
    _L.ReLU,
    _L.LeakyReLU,
    _L.ELU,
    _L.Identity,
    _L.SpatialDropout1D,
    _L.SpatialDropout2D,
    _L.SpatialDropout3D,
    _L.AlphaDropout,
    _L.GaussianDropout,
    _L.GaussianNoise,
    _L.ActivityRegularization,
    "keras.activations.ReLU",
    "keras.applications.StochasticDepth",
    "keras_cv.DropPath",
    *(
        f"keras.ops.{name}"  # the usual ones; others are tried
        for name in """
        Abs Absolute Cast Clip ConvertToTensor Copy Cos Elu Erf Exp Gelu HardSigmoid
        HardSilu HardTanh Identity LeakyRelu Log LogSigmoid LogicalNot Mish Negative
        OnesLike Reciprocal Relu Relu6 Round Rsqrt Selu Sigmoid Silu Sin Softplus
        Softsign Sqrt Square StopGradient Tanh ZerosLike
        """.split()
    ),
)
@takes_grids
def elementwise(op: Any, call: RuleCall) -> Effect:
    held = () if isinstance(op, keras.Layer) else vars(op).values()
    if any(np.ndim(v) > 0 for v in held if hasattr(v, "shape")):
        return call.stops("holds an array of numbers")
    return call.passes()


_SOFTMAX = {"softmax": "shares", "log_softmax": "log_shares"}


@register_rule(_L.Activation)
@takes_grids
def activation(layer: Any, call: RuleCall) -> Effect:
    if call.x.is_fixed or not mixes_channels(layer.activation):
        return call.passes()
    name = activation_name(layer.activation)
    if name in _SOFTMAX:
        return over_channels(call, [-1], _SOFTMAX[name], call.passes())
    return call.stops(f"activation '{name}' works across channels")


@register_rule(_L.Softmax, "keras.ops.Softmax", "keras.ops.LogSoftmax")
@takes_grids
def softmax(op: Any, call: RuleCall) -> Effect:
    named = op.axis if isinstance(op.axis, (list, tuple)) else [op.axis]
    axes = set(range(call.x.rank))
    if None not in named:
        axes = {a % call.x.rank for a in named}
    if not axes & set(call.x.varying):
        return call.passes()
    kind = "log_shares" if type(op).__name__ == "LogSoftmax" else "shares"
    return over_channels(call, axes, kind, call.passes())


@register_rule(_L.PReLU)
def prelu(layer: Any, call: RuleCall) -> Effect:
    shared = set(layer.shared_axes or ())
    axes = tuple(
        call.along(call.x, i) if i in call.x.varying and i not in shared else None
        for i in range(1, call.x.rank)
    )
    return call.passes(weights={"alpha": axes})


@register_rule(_L.Rescaling)
def rescaling(layer: Any, call: RuleCall) -> Effect:
    if call.x.is_fixed:
        return call.passes()
    config = {}
    for key in ("scale", "offset"):
        values = np.asarray(getattr(layer, key))
        if values.size < 2:
            continue
        (axis, *more) = call.x.varying
        own = axis - call.x.rank + values.ndim  # values are aligned at the last axis
        if more or own < 0 or values.size != values.shape[own]:
            return call.stops(f"'{key}' differs along an axis without channels")
        config[key] = Take(values.tolist(), call.along(call.x, axis), own)
    return call.passes(config=config)


@register_rule("keras.applications.LayerScale")
def layer_scale(layer: Any, call: RuleCall) -> Effect:
    ids = call.channels(call.x, -1)
    config = {} if ids is None else {"projection_dim": ids}
    return call.passes(weights={"gamma": (ids,)}, config=config)
