"""RegNet X and Y, 200 MF to 8 GF: widths from a quantised line."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import layers

from hh_keras.models.blocks import (
    bn_act,
    classifier,
    conv,
    conv_bn,
    pixels,
    squeeze_excite,
    strides_for,
)


@dataclasses.dataclass(frozen=True)
class Line:
    """The design of a RegNet, equations 2 to 4 of the paper.

    Attributes:
        depth: number of blocks.
        start, slope: block j is to have `start + slope · j` channels.
        step: widths are `start · step^k`, rounded to multiples of 8.
        group: channels in each group of the 3x3 convolutions.
    """

    depth: int
    start: int
    slope: float
    step: float
    group: int


# As in the model zoo of the authors, github.com/facebookresearch/pycls.
X = {
    "200mf": Line(13, 24, 36.44, 2.49, 8),
    "400mf": Line(22, 24, 24.48, 2.54, 16),
    "600mf": Line(16, 48, 36.97, 2.24, 24),
    "800mf": Line(16, 56, 35.73, 2.28, 16),
    "1.6gf": Line(18, 80, 34.01, 2.25, 24),
    "3.2gf": Line(25, 88, 26.31, 2.25, 48),
    "4.0gf": Line(23, 96, 38.65, 2.43, 40),
    "6.4gf": Line(17, 184, 60.83, 2.07, 56),
    "8.0gf": Line(23, 80, 49.56, 2.88, 120),
}
Y = {
    "200mf": Line(13, 24, 36.44, 2.49, 8),
    "400mf": Line(16, 48, 27.89, 2.09, 8),
    "600mf": Line(15, 48, 32.54, 2.32, 16),
    "800mf": Line(14, 56, 38.84, 2.4, 16),
    "1.6gf": Line(27, 48, 20.71, 2.65, 24),
    "3.2gf": Line(21, 80, 42.63, 2.66, 24),
    "4.0gf": Line(22, 96, 31.41, 2.24, 64),
    "6.4gf": Line(25, 112, 33.22, 2.27, 72),
    "8.0gf": Line(17, 192, 76.82, 2.19, 56),
}


def regnetx(image_shape: tuple, num_classes: int, size: str = "200mf") -> keras.Model:
    """RegNetX.

    Strides are the paper's from 128 pixels on; smaller images lose the first of them.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: number of logits.
        size: a key of `X`.

    Returns:
        A functional model from raw pixels to logits.

    Raises:
        ValueError: there is no such size.

    Reference:
        Radosavovic et al., Designing Network Design Spaces, CVPR 2020,
        arXiv:2003.13678.
    """
    return _regnet(image_shape, num_classes, X, size, False, "regnetx")


def regnety(image_shape: tuple, num_classes: int, size: str = "200mf") -> keras.Model:
    """RegNetY: RegNetX with squeeze-and-excite; `size` is a key of `Y`.

    Arguments, result and source as for `regnetx`.
    """
    return _regnet(image_shape, num_classes, Y, size, True, "regnety")


def _regnet(image_shape, num_classes, sizes, size, squeeze, kind):
    if size not in sizes:
        raise ValueError(f"size {size!r} is none of {', '.join(sizes)}")
    stages = stages_of(sizes[size])
    inputs, x = pixels(image_shape)
    stem, *strides = strides_for(image_shape, (2, *[2] * len(stages)))
    x = conv_bn(x, 32, 3, "conv1", strides=stem)
    for stage, ((width, depth, group), stride) in enumerate(zip(stages, strides), 1):
        for block in range(1, depth + 1):
            own = stride if block == 1 else 1
            x = _block(x, width, group, own, squeeze, f"stage{stage}_block{block}")
    name = f"{kind}_{size.replace('.', '_')}"
    return keras.Model(inputs, classifier(x, num_classes), name=name)


def stages_of(line: Any) -> list[tuple]:
    """Turns a `Line` into stages.

    Returns:
        A list of `(width, blocks, channels in each group)`.

    Examples:
        >>> stages_of(X["200mf"])
        [(24, 1, 8), (56, 1, 8), (152, 4, 8), (368, 7, 8)]
    """
    wanted = line.start + line.slope * np.arange(line.depth)
    powers = np.round(np.log(wanted / line.start) / np.log(line.step))
    widths = 8 * np.round(line.start * line.step**powers / 8).astype(int)
    stages = []
    for width, blocks in zip(*np.unique(widths, return_counts=True)):
        group = min(line.group, int(width))
        stages.append((int(round(width / group) * group), int(blocks), group))
    return stages


def _block(x, width, group, stride, squeeze, name):
    shortcut, entry = x, x.shape[-1]
    if stride != 1 or entry != width:
        shortcut = conv(x, width, 1, f"{name}_shortcut", stride)
        shortcut = bn_act(shortcut, f"{name}_shortcut", None)
    x = conv_bn(x, width, 1, f"{name}_conv1")
    x = conv(x, width, 3, f"{name}_conv2", stride, groups=width // group)
    x = bn_act(x, f"{name}_conv2")
    if squeeze:
        x = squeeze_excite(x, round(entry / 4), f"{name}_se")
    x = conv_bn(x, width, 1, f"{name}_conv3", activation=None)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.Activation("relu", name=f"{name}_relu")(x)
