"""How far apart two pixels may be and still have to do with each other.

What a large image is cut into tiles by: with as much overlap as a network's receptive
field, tiles give what the whole image gives.
"""

import dataclasses
import math
from fractions import Fraction

import keras

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.graph.rules import find_rule


@dataclasses.dataclass(frozen=True)
class Reach:
    """How a network from images to images sees its input.

    Attributes:
        overlap: pixels of the input, on each side of an output pixel's own place, that
            may have an influence on it.
        multiple: sides of the input must be multiples of this, and tiles start there.
        scale: the output is so many times as high and wide.
    """

    overlap: int
    multiple: int
    scale: int | None


@dataclasses.dataclass(frozen=True)
class _Seen:
    """Of a tensor: input pixels from one pixel to the next, and beyond each side."""

    step: Fraction
    beyond: Fraction


def reach(model: keras.Model) -> Reach:
    """Derives the receptive field of a network from its graph.

    Args:
        model: a functional or Sequential model from images `(height, width, channels)`
            to images, channels last.

    Returns:
        A `Reach`; its overlap may be larger than need be, never smaller.

    Raises:
        ModelError: a layer sees the whole image (global pooling), moves pixels or is
            unknown; the message names it. Or there are several inputs or outputs.
    """
    graph = calls.as_graph(model)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ModelError(
            f"model '{model.name}' has {len(graph.inputs)} inputs and "
            f"{len(graph.outputs)} outputs; tiles need one of each."
        )
    steps = []

    def step(path, call, args, kwargs):
        seen = [x for x in _flat((args, kwargs)) if isinstance(x, _Seen)]
        if len({x.step for x in seen}) != 1:
            raise ModelError(
                f"layer '{path}' joins images of different sizes; such a network takes "
                "no tiles. Give it whole images."
            )
        before = _Seen(seen[0].step, max(x.beyond for x in seen))
        after = _through(path, call.op, before)
        steps.append(after.step)
        return [after] * len(call.outputs)

    (end,) = calls.interpret(model, [_Seen(Fraction(1), Fraction(0))], step)
    if end.step.numerator != 1:
        raise ModelError(
            f"model '{model.name}' makes images {end.step} times smaller; tiles are "
            "for networks that keep or enlarge them."
        )
    multiple = math.lcm(*(s.numerator for s in steps))
    return Reach(math.ceil(end.beyond), multiple, end.step.denominator)


def _flat(value):
    if isinstance(value, (list, tuple)):
        return [x for each in value for x in _flat(each)]
    if isinstance(value, dict):
        return _flat(list(value.values()))
    return [value]


# Rules of layers that treat every pixel by itself.
_POINTWISE = {
    "elementwise",
    "activation",
    "prelu",
    "rescaling",
    "layer_scale",
    "merge_layer",
    "binary_operation",
    "residual_scale",
    "batch_normalization",
    "normalization",
    "dense",
    "_channel_scale",
}


def _through(path, op, x):
    rule = getattr(find_rule(op), "__name__", None)
    kind = type(op).__name__
    if getattr(op, "data_format", None) == "channels_first":
        raise _unknown(path, kind, "has its channels first")
    if rule in _POINTWISE or (rule == "concatenate" and op.axis in (-1, 3)):
        return x
    if rule in ("conv", "depthwise_conv", "separable_conv"):
        sides = zip(op.kernel_size, op.strides, op.dilation_rate)
        return _windowed(path, kind, x, [((k - 1) * d + 1, s) for k, s, d in sides], op)
    if kind in ("MaxPooling2D", "AveragePooling2D"):
        return _windowed(path, kind, x, list(zip(op.pool_size, op.strides)), op)
    if rule == "conv_transpose":
        return _transposed(path, kind, x, op)
    if kind == "UpSampling2D" and len(set(op.size)) == 1:
        # Neighbours count in all kinds but "nearest"; the widest, Lanczos's, has five.
        near = 0 if op.interpolation == "nearest" else 5
        return _divided(x, op.size[0], near)
    if kind == "DepthToSpace":
        return _divided(x, op.block_size)
    if kind == "SpaceToDepth":
        return _Seen(x.step * op.block_size, x.beyond)
    raise _unknown(path, kind, "may see all of the image, or move its pixels")


def _windowed(path, kind, x, sides, op):
    """A window that looks at `size` pixels of its input and moves by `stride`."""
    if len({stride for _, stride in sides}) != 1:
        raise _unknown(path, kind, "has different strides")
    size, stride = max(size for size, _ in sides), sides[0][1]
    if op.padding != "same" and size > stride:
        raise _unknown(path, kind, f"has padding '{op.padding}', which moves pixels;")
    side = math.ceil(max(size - stride, 0) / 2)
    return _Seen(x.step * stride, x.beyond + side * x.step)


def _transposed(path, kind, x, op):
    if len(set(op.strides)) != 1 or set(op.dilation_rate) != {1}:
        raise _unknown(path, kind, "has different strides, or holes")
    size, stride = max(op.kernel_size), op.strides[0]
    if op.padding != "same" and size > stride:
        raise _unknown(path, kind, f"has padding '{op.padding}', which moves pixels;")
    side = math.ceil(max(size - stride, 0) / stride)
    return _divided(x, stride, side)


def _divided(x, times, side=0):
    """Each pixel becomes several, which all see as far as it did, on either side."""
    step = x.step / times
    return _Seen(step, x.beyond + side * x.step + x.step - step)


def _unknown(path, kind, why):
    return ModelError(
        f"layer '{path}' ({kind}) {why}: how far it sees is not known. Give the "
        "overlap of tiles yourself, or restore whole images."
    )
