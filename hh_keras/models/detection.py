"""Detectors of one stage: what stands behind a backbone, and a small one of our own.

They take images and put out `(batch, places, 4 + classes)`: the places are the cells of
the maps of strides 8, 16 and 32, in this order, row by row. The first four numbers of a
place tell how far the box reaches to the left, up, to the right and down from the
middle of the cell (the softplus of each, in strides), the others are the classes'
logits. The form is FCOS's (Tian et al., ICCV 2019, arXiv:1904.01355), on a feature
pyramid (Lin et al., CVPR 2017, arXiv:1612.03144), with a head for each map.
"""

import math
from collections.abc import Mapping

import keras
from keras import layers

from hh_keras.models.blocks import conv_bn, pixels

STRIDES = (8, 16, 32)
_RARE = -math.log(99)  # logit of a hundredth: most places tell nothing
_REACH = 1.0  # its softplus is 1.3 strides


def detector_small(
    image_shape: tuple,
    num_classes: int,
    widths: tuple = (16, 24, 48, 96, 128),
    neck: int = 48,
    depth: int = 1,
) -> keras.Model:
    """A detector that learns a small data set in minutes on two cores.

    Residual blocks of two 3x3 convolutions, one at stride 4 and two at 8, 16 and 32.
    At 192x256 and 3 classes: 239 M multiply-accumulates, 1.15 M parameters.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: at least 1.
        widths: channels at the strides 2, 4, 8, 16 and 32.
        neck: channels of the pyramid and of the heads.
        depth: convolutions of a head before its classes and its boxes part.

    Returns:
        A functional model, see above.
    """
    inputs, x = pixels(image_shape)
    x = conv_bn(x, widths[0], 3, "stem", strides=2)
    features = {}
    for stage, (width, blocks) in enumerate(zip(widths[1:], (1, 2, 2, 2)), 1):
        for block in range(blocks):
            strides = 1 if block else 2
            x = _residual(x, width, strides, f"stage{stage}_block{block + 1}")
        features[2 ** (stage + 1)] = x
    output = boxes_of_places(features, num_classes, neck, depth)
    return keras.Model(inputs, output, name="detector_small")


def _residual(x, width, strides, name):
    y = conv_bn(x, width, 3, f"{name}_conv1", strides=strides)
    y = conv_bn(y, width, 3, f"{name}_conv2", activation=None)
    if strides > 1:  # the mean of four cells, not one of them
        x = layers.AveragePooling2D(2, padding="same", name=f"{name}_pool")(x)
    if x.shape[-1] != width or strides > 1:
        x = conv_bn(x, width, 1, f"{name}_short", activation=None)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def boxes_of_places(
    features: Mapping[int, keras.KerasTensor],
    num_classes: int,
    neck: int = 48,
    depth: int = 1,
) -> keras.KerasTensor:
    """The output of a detector on features of a backbone.

    Args:
        features: stride → `(batch, height, width, channels)`. Of the strides 8, 16 and
            32, those that are missing are made of the coarsest finer features by
            convolutions with stride 2.
        num_classes: at least 1.
        neck: channels of the pyramid and of the heads.
        depth: convolutions of a head before its classes and its boxes part.

    Returns:
        A tensor `(batch, places, 4 + num_classes)`, float32.
    """
    maps = _pyramid(_at_strides(features, neck), neck)
    told = [_head(maps[s], s, num_classes, neck, depth) for s in STRIDES]
    return layers.Concatenate(axis=1, dtype="float32", name="places")(told)


def _at_strides(features, neck):
    found = {s: x for s, x in features.items() if s <= STRIDES[-1]}
    stride = max((s for s in found if s < STRIDES[0]), default=None)
    if STRIDES[0] in found:
        stride = STRIDES[0]
    while stride < STRIDES[-1]:
        if 2 * stride not in found:
            made = conv_bn(found[stride], neck, 3, f"features_{2 * stride}", strides=2)
            found[2 * stride] = made
        stride *= 2
    return {s: found[s] for s in STRIDES}


def _pyramid(features, width):
    """Coarse features added to the finer ones, all of one width."""
    maps: dict = {}
    above = None
    for stride in reversed(STRIDES):
        x = conv_bn(features[stride], width, 1, f"neck_{stride}", activation=None)
        if above is not None:
            up = layers.UpSampling2D(2, name=f"neck_{stride}_up")(above)
            x = layers.Add(name=f"neck_{stride}_add")([x, _cut(up, x, stride)])
        maps[stride] = above = x
    return maps


def _cut(up, x, stride):
    """Twice as many cells may be one too many, of sides that are no multiple of 32."""
    down, across = (have - want for have, want in zip(up.shape[1:3], x.shape[1:3]))
    if not (down or across):
        return up
    name = f"neck_{stride}_cut"
    return layers.Cropping2D(((0, down), (0, across)), name=name)(up)


def _head(x, stride, num_classes, width, depth):
    for layer in range(1, depth + 1):
        x = conv_bn(x, width, 3, f"head_{stride}_conv{layer}")
    parts = []
    for kind, size, start in (("box", 4, _REACH), ("class", num_classes, _RARE)):
        y = conv_bn(x, width, 3, f"head_{stride}_{kind}_conv")
        y = layers.Conv2D(
            size,
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=keras.initializers.Constant(start),
            name=f"head_{stride}_{kind}",
        )(y)
        parts.append(layers.Reshape((-1, size), name=f"head_{stride}_{kind}_places")(y))
    return layers.Concatenate(name=f"head_{stride}_told")(parts)
