"""Trackers as functional models of two images: the exemplar and where to search.

Every network's output is `(batch, cells, cells, 1)`, how much a place looks like the
target's middle (about 1 there, 0 elsewhere), or `(batch, cells, cells, 5)`, with the
distances from the place to the target's left, upper, right and lower side behind it, in
units of the side that a square target has in the search image.
"""

from collections.abc import Sequence

import keras
from keras import layers

from hh_keras.errors import ModelError
from hh_keras.tasks.tracking.data.cropping import CONTEXT
from hh_keras.tasks.tracking.networks.descent import Correlate, Descend
from hh_keras.tasks.tracking.networks.filters import Fit, Match, Spectrum
from hh_keras.tasks.tracking.networks.levels import levels
from hh_keras.tasks.tracking.networks.pixelwise import Middle, Pixelwise

SIGMA = 0.1
"""Of the Gaussian that is wanted at the target, over its side."""

KINDS = ("filter", "descent", "siamese")


def usual_strides(backbone: keras.Model) -> tuple[int, ...]:
    """The last three strides of a network's features up to 16; or the least."""
    known = tuple(levels(backbone))
    return tuple(stride for stride in known if stride <= _COARSEST)[-3:] or known[:1]


_COARSEST = 16


def features(backbone: keras.Model, strides: Sequence[int]) -> keras.Model:
    """The part of a network up to its features of some strides.

    Args:
        backbone: see `levels`.
        strides: of the features.

    Returns:
        A model of one output or several, in the order of strides.

    Raises:
        ModelError: its images are not square, or it has no features of a stride.
    """
    known = levels(backbone)
    if not known:
        raise ModelError(
            f"model '{backbone.name}' has no maps of features of 4x4 and more that all "
            "passes through: a tracker needs a convolutional network."
        )
    height, width = backbone.input_shape[1:3]
    if height != width:
        raise ModelError(
            f"model '{backbone.name}' takes images of {height}x{width}; a tracker sees "
            "squares: build it for those."
        )
    missing = [s for s in strides if s not in known]
    if missing:
        raise ModelError(
            f"model '{backbone.name}' has no features of stride "
            f"{', '.join(map(str, missing))} on {backbone.input_shape[1]} pixels; it "
            f"has {', '.join(map(str, known))}: choose of these by --strides."
        )
    return keras.Model(backbone.inputs, [known[s] for s in strides], name="features")


def tracker(
    backbone: keras.Model,
    kind: str = "filter",
    strides: Sequence[int] | None = None,
    boxes: bool = True,
    width: int = 64,
) -> keras.Model:
    """A network that finds a target again, on the features of another.

    Args:
        backbone: see `levels`; its weights are taken over.
        kind: one of `KINDS`. "filter": a ridge regression for each stride, in closed
            form. "descent": one by a few steps of steepest descent. "siamese": products
            of the exemplar's cells with all of the search image, and a head.
        strides: of the features; None is `usual_strides`. Boxes and "siamese" need two
            that follow each other.
        boxes: whether the target's sides are told as well.
        width: channels of the head.

    Returns:
        A functional model with inputs "exemplar" and "search".

    Raises:
        ModelError: the backbone does not serve.
    """
    if kind not in KINDS:
        raise ModelError(f"kind={kind!r}: choose one of {', '.join(KINDS)}.")
    strides = strides or usual_strides(backbone)
    extract = features(backbone, strides)
    if _headed(kind, boxes) and (len(strides) < 2 or strides[-1] != 2 * strides[-2]):
        without = "" if kind == "siamese" else ", or --nosides, which needs no head"
        raise ModelError(
            f"--strides={','.join(map(str, strides))} of model '{backbone.name}': a "
            "head reads features of two strides, the last twice the one before it, "
            f"such as 8,16: choose such{without}."
        )
    shape = backbone.input_shape[1:]
    exemplar, search = (
        keras.Input(shape, name="exemplar"),
        keras.Input(shape, name="search"),
    )
    z, x = (keras.tree.flatten(extract(image)) for image in (exemplar, search))
    output = compared(z, x, strides, shape[0], kind, boxes, width)
    return keras.Model([exemplar, search], output, name="tracker")


def compared(
    z: Sequence,
    x: Sequence,
    strides: Sequence[int],
    side: int,
    kind: str = "filter",
    boxes: bool = True,
    width: int = 64,
) -> keras.KerasTensor:
    """The output of a tracker, given features of both its images.

    Args:
        z, x: of the exemplar and the search image, one tensor for each stride.
        strides: of the features.
        side: of the images, in pixels.
        kind, boxes, width: see `tracker`.
    """
    # A head's map, and what is put beside it, are as fine as the finer of its features.
    size = side // strides[-2 if _headed(kind, boxes) else min(1, len(strides) - 1)]
    if kind == "siamese":
        head = _correlated(z[-2:], x[-2:], side // strides[-2], width)
        few = keras.initializers.Constant(_RARE)
        head = _head(head, width)
        score = layers.Conv2D(
            1, 1, activation="sigmoid", bias_initializer=few, name="score"
        )(head)
    else:
        answer = _filtered if kind == "filter" else _descended
        own, other = _adapted(z, x, strides)
        maps = answer(own, other, strides, side, size)
        score = layers.Average(name="response")(maps) if len(maps) > 1 else maps[0]
        if not boxes:
            return score
        head = _correlated(z[-2:], x[-2:], side // strides[-2], width)
        head = _head(layers.Concatenate(name="head_input")([head, *maps]), width)
        # What the filters' answer, which is renewed, gets wrong by the first image.
        other = layers.Conv2D(1, 1, kernel_initializer="zeros", name="score")(head)
        score = layers.Add(name="both")([score, other])
    if not boxes:
        return score
    half = keras.initializers.Constant(_HALF)
    sides = layers.Conv2D(
        4, 1, activation="softplus", bias_initializer=half, name="sides"
    )(head)
    return layers.Concatenate(name="output", dtype="float32")([score, sides])


def _headed(kind, boxes):
    return boxes or kind == "siamese"


def _adapted(z, x, strides):
    """Features in other coordinates, to be learnt; before that, nothing changes.

    A filter in closed form answers the same whatever way its channels are turned.
    """
    turns = [
        layers.Conv2D(
            own.shape[-1],
            1,
            use_bias=False,
            kernel_initializer="orthogonal",
            name=f"adapted_{stride}",
        )
        for stride, own in zip(strides, z)
    ]
    return ([turn(t) for turn, t in zip(turns, each)] for each in (z, x))


def _head(x, width):
    for place in (1, 2):
        x = _separable(x, width, f"head_{place}")
    return x


def _filtered(z, x, strides, side, size):
    maps = []
    for stride, own, other in zip(strides, z, x):
        spectrum = Spectrum(name=f"spectrum_{stride}")
        fit = Fit(SIGMA * side / stride / CONTEXT, name=f"fit_{stride}")
        match = Match(size, name=f"match_{stride}")
        maps.append(match([spectrum(other), fit(spectrum(own))]))
    return maps


def _descended(z, x, strides, side, size):
    maps = []
    for stride, own, other in zip(strides, z, x):
        cells = min(_MOST_CELLS, 2 * (side // stride // 6) + 1)
        descend = Descend(cells, SIGMA * side / stride / CONTEXT, name=f"fit_{stride}")
        answer = Correlate(cells, name=f"match_{stride}")([other, descend(own)])
        factor = size / answer.shape[1]
        if factor > 1:
            up = layers.UpSampling2D(int(factor), interpolation="bilinear")
            answer = up(answer)
        elif factor < 1:
            answer = layers.AveragePooling2D(round(1 / factor))(answer)
        maps.append(answer)
    return maps


_MOST_CELLS = 7  # a side of a filter by descent
_RARE = -3.0  # logit of a place that is not the target's
_HALF = -0.4328  # its softplus is 0.5: a square target around the place


def _correlated(z, x, cells, width):
    """Features of both images on one grid, and their products."""
    finer, coarser = (
        layers.Conv2D(width, 1, use_bias=False, name=f"neck_{kind}")
        for kind in ("fine", "coarse")
    )
    norm = layers.BatchNormalization(momentum=0.9, name="neck_bn")
    act, add = layers.ReLU(name="neck_relu"), layers.Add(name="neck")
    up = layers.UpSampling2D(2, interpolation="bilinear", name="neck_up")
    both = [act(norm(add([finer(a), up(coarser(b))]))) for a, b in (z, x)]
    inner = 2 * round(cells / CONTEXT / 2) + cells % 2
    middle = Middle(inner, name="middle")(both[0])
    products = Pixelwise(float(width), name="products")([both[1], middle])
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="middle_mean")(middle)
    weighed = layers.Multiply(name="weighed")([both[1], mean])
    return layers.Concatenate(name="correlated")([products, weighed])


def _separable(x, width, name):
    # Of five cells, two see from a target's middle to its edges.
    x = layers.DepthwiseConv2D(
        5, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = layers.Conv2D(width, 1, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
