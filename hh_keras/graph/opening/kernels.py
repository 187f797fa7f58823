"""Products with a weight that a class uses by itself, as the layers that they are.

`matmul(x, w)` is a `Dense` layer, `conv(x, w)` a convolution, with `w`, or a number
times `w`, or `w` turned, for a kernel.
"""

import dataclasses
from typing import Any

import keras
import numpy as np

from hh_keras.graph.opening.extra_layers import SCALED
from hh_keras.graph.opening.following import Read

_L = keras.layers
_CONV = {3: _L.Conv1D, 4: _L.Conv2D, 5: _L.Conv3D}
_TRANSPOSE = {3: _L.Conv1DTranspose, 4: _L.Conv2DTranspose, 5: _L.Conv3DTranspose}
_DEPTHWISE = {3: _L.DepthwiseConv1D, 4: _L.DepthwiseConv2D}


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """What a product is multiplied with: `scale * weight`, turned or not."""

    read: Read
    scale: Any = None
    turned: bool = False
    steps: tuple = ()  # what makes it of the weight


@dataclasses.dataclass(frozen=True, eq=False)
class Product:
    """A step that is a layer with the weight of `kernel`."""

    kernel: Kernel
    kind: type
    settings: dict

    def layer(self, name: str) -> keras.Layer:
        """The layer, not yet built."""
        variable, owner = self.kernel.read.variable, self.kernel.read.layer
        kernel = "depthwise" if self.kind in _DEPTHWISE.values() else "kernel"
        settings = {
            **self.settings,
            f"{kernel}_regularizer": variable.regularizer,
            f"{kernel}_constraint": variable.constraint,
            "use_bias": False,
            "dtype": owner.dtype_policy,
            "trainable": variable.trainable and owner.trainable,
            "name": name,
        }
        if self.kernel.scale is None:
            return self.kind(**settings)
        return SCALED[self.kind](scale=self.kernel.scale, **settings)

    def like(self, other: "Product") -> bool:
        """Whether one layer can stand for both."""
        mine, yours = self.kernel, other.kernel
        return (
            (self.kind, self.settings) == (other.kind, other.settings)
            and mine.turned == yours.turned
            and mine.scale == yours.scale
        )


def products(steps: list, reads: dict, owned: Any, uses: Any) -> tuple:
    """Finds the steps that are layers.

    Args:
        steps: list of `Step`.
        reads: id of a tensor → the `Read` that it stands for.
        owned: ids of the variables that layers have.
        uses: id of a tensor → how often it is used.

    Returns:
        `(products, spent)`: id of a step → its `Product`; ids of the steps that only
        make kernels of weights. A weight that is also used otherwise is left alone.
    """
    made = {id(x): step for step in steps for x in step.outputs}
    found: dict = {}  # id of a weight's tensor → [(step, product)]
    for step in steps:
        tensor, make = _parts(step)
        kernel = None if make is None else _kernel(tensor, reads, made, uses)
        if kernel is None or id(kernel.read.variable) in owned:
            continue
        known = make(step, kernel)
        if known is not None:
            weight = kernel.steps[0].args if kernel.steps else [tensor]
            weight = next(x for x in weight if id(x) in reads)
            found.setdefault(id(weight), []).append((step, Product(kernel, *known)))
    whole = [
        same
        for weight, same in found.items()
        if len(same) == uses[weight] and all(p.like(same[0][1]) for _, p in same)
    ]
    known = {id(step): same[0][1] for same in whole for step, _ in same}
    spent = {id(s) for same in whole for _, p in same for s in p.kernel.steps}
    return known, spent


def _parts(step):
    """A step's second factor, and what makes a layer of it; None if nothing does."""
    make = _MAKERS.get(type(step.op).__name__)
    first = step.args[0] if step.args else None
    if make is None or len(step.args) != 2 or step.kwargs:
        return None, None
    return step.args[1], make if isinstance(first, keras.KerasTensor) else None


def _kernel(tensor, reads, made, uses):
    """The `Kernel` that a tensor is, or None."""
    read = reads.get(id(tensor))
    if isinstance(read, Read):
        return Kernel(read)
    step = made.get(id(tensor))
    if step is None or uses[id(tensor)] != 1:
        return None
    weights = [x for x in step.args if isinstance(reads.get(id(x)), Read)]
    others = [x for x in step.args if not isinstance(x, keras.KerasTensor)]
    if len(weights) != 1 or len(weights) + len(others) != len(step.args):
        return None
    read, name = reads[id(weights[0])], type(step.op).__name__
    if name == "Multiply" and len(others) == 1 and _is_number(others[0]):
        return Kernel(read, scale=float(others[0]), steps=(step,))
    plain = read.variable.regularizer is None and read.variable.constraint is None
    if name == "Transpose" and plain and step.op.axes in (None, (1, 0), [1, 0]):
        return Kernel(read, turned=True, steps=(step,))
    return None


def _is_number(x):
    return np.ndim(x) == 0 and not isinstance(x, (str, type(None)))


def _dense(step, kernel):
    shape = kernel.read.variable.shape
    if len(shape) != 2 or getattr(step.op, "axes", 1) != 1:
        return None
    return _L.Dense, {"units": shape[0 if kernel.turned else 1]}


def _windows(op, kernel, rank):
    """The settings of a convolution, or None."""
    shape = kernel.read.variable.shape
    if kernel.turned or len(shape) != rank or op.padding not in ("same", "valid"):
        return None
    return {
        "kernel_size": tuple(shape[:-2]),
        "strides": _all_alike(op.strides, rank),
        "padding": op.padding,
        "dilation_rate": _all_alike(op.dilation_rate, rank),
        "data_format": op.data_format or keras.config.image_data_format(),
    }


def _all_alike(value, rank):
    return (value,) * (rank - 2) if isinstance(value, int) else tuple(value)


def _conv(step, kernel):
    x, rank = step.args[0], len(step.args[0].shape)
    settings = _windows(step.op, kernel, rank)
    if settings is None or rank not in _CONV:
        return None
    *_, inputs, filters = kernel.read.variable.shape
    first = settings["data_format"] == "channels_first"
    size = x.shape[1 if first else -1]
    if size is None or size % inputs:
        return None
    return _CONV[rank], {**settings, "filters": filters, "groups": size // inputs}


def _depthwise(step, kernel):
    rank = len(step.args[0].shape)
    settings = _windows(step.op, kernel, rank)
    if settings is None or rank not in _DEPTHWISE or kernel.scale is not None:
        return None
    multiplier = kernel.read.variable.shape[-1]
    return _DEPTHWISE[rank], {**settings, "depth_multiplier": multiplier}


def _transpose(step, kernel):
    rank = len(step.args[0].shape)
    settings = _windows(step.op, kernel, rank)
    if settings is None or rank not in _TRANSPOSE or kernel.scale is not None:
        return None
    filters = kernel.read.variable.shape[-2]
    more = {"filters": filters, "output_padding": step.op.output_padding}
    return _TRANSPOSE[rank], {**settings, **more}


_MAKERS = {
    "Matmul": _dense,
    "Tensordot": _dense,
    "Conv": _conv,
    "ConvTranspose": _transpose,
    "DepthwiseConv": _depthwise,
}
