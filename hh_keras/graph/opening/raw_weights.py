"""Operations on a weight that a class holds by itself, as the layers that hold it."""

from typing import Any

import keras

_PLACES = ("strides", "padding", "data_format", "dilation_rate")
# Name of an operation → where its kernel has the filters that it makes.
_FILTERS = {"Conv": -1, "ConvTranspose": -2}


def layer_with(op: Any, x: Any, weight: Any) -> tuple | None:
    """What layer an operation is, whose second argument is a weight.

    Args:
        op: an operation of `keras.ops`.
        x: its first argument, a symbolic tensor.
        weight: the variable.

    Returns:
        `(layer class, arguments, name of the kernel)`, or None.
    """
    kind, shape = type(op).__name__, tuple(weight.shape)
    if kind == "Matmul" and len(shape) == 2:
        return keras.layers.Dense, {"units": shape[1]}, "kernel"
    places = {k: v for k, v in vars(op).items() if k in _PLACES and v is not None}
    if len(shape) != len(x.shape):
        return None
    rank, sizes = len(shape) - 2, {**places, "kernel_size": shape[:-2]}
    if kind == "DepthwiseConv":
        layer = getattr(keras.layers, f"DepthwiseConv{rank}D", None)
        return layer and (layer, {**sizes, "depth_multiplier": shape[-1]}, "depthwise")
    if kind not in _FILTERS:
        return None
    sizes["filters"] = shape[_FILTERS[kind]]
    if kind == "Conv":
        return getattr(keras.layers, f"Conv{rank}D"), sizes, "kernel"
    sizes["output_padding"] = op.output_padding
    return getattr(keras.layers, f"Conv{rank}DTranspose"), sizes, "kernel"
