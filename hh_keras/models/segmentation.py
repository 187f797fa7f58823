"""Networks that give every pixel a class: a U-Net, and MobileNetV2 with a light ASPP.

They take grey or RGB images of any size in multiples of 16 (of 8, `unet_bn_small`),
float32 pixels 0 to 255, and return logits of the same height and width. No layer sees
the whole image, so that tiles of a large image give what the whole would.
"""

import keras
from keras import layers

from hh_keras.models.blocks import (
    bn_act,
    conv_bn,
    depthwise,
    pixels,
    round_to_8,
    u_shape,
)
from hh_keras.models.mobilenet import V2, inverted_residuals


def unet_bn(
    image_shape: tuple, num_classes: int, width: int = 32, levels: int = 4
) -> keras.Model:
    """U-Net with batch normalisation and padded convolutions.

    At 224x224x3 and 11 classes: 9.26 G MACs, 7.77 M parameters.

    Args:
        image_shape: `(height, width, channels)`; sizes are multiples of `2**levels`,
            or None.
        num_classes: number of logits of every pixel.
        width: channels of the first level; each further one has twice as many.
        levels: how often the image is halved.

    Returns:
        A functional model from raw pixels to logits `(height, width, num_classes)`.

    Reference: Ronneberger et al., U-Net, MICCAI 2015, arXiv:1505.04597.
    """
    inputs, x = pixels(image_shape)
    x = u_shape(x, width, levels, _pair)
    return keras.Model(inputs, _logits(x, num_classes), name="unet_bn")


def unet_bn_small(image_shape: tuple, num_classes: int) -> keras.Model:
    """U-Net for a first run on a processor: three halvings, from 12 channels on.

    At 96x96x3 and 6 classes: 0.185 G MACs, 0.27 M parameters. Arguments, result and
    source as for `unet_bn`.
    """
    return unet_bn(image_shape, num_classes, 12, 3)


def mobilenetv2_aspp(
    image_shape: tuple, num_classes: int, width: float = 1.0, head: int = 96
) -> keras.Model:
    """MobileNetV2 with a light ASPP head, an encoder and decoder as DeepLab v3+.

    The last stride and the last stage (320 channels) of MobileNetV2 are left out. The
    head looks at a sixteenth of the size with holes of 1, 2, 4 and 8, depthwise; what
    it finds meets the features of a quarter of the size. It has no pooling over the
    image, which tiles could not give. At 224x224x3 and 11 classes: 0.43 G MACs,
    1.49 M parameters.

    Args:
        image_shape: `(height, width, channels)`; sizes are multiples of 16, or None.
        num_classes: number of logits of every pixel.
        width: multiplies the channel counts of MobileNetV2.
        head: channels of the head.

    Returns:
        A functional model from raw pixels to logits `(height, width, num_classes)`.

    Reference: Sandler et al., MobileNetV2, CVPR 2018, arXiv:1801.04381; Chen et al.,
    DeepLab v3+, ECCV 2018, arXiv:1802.02611.
    """
    inputs, x = pixels(image_shape)
    x = conv_bn(x, round_to_8(32 * width), 3, "conv1", strides=2, activation="relu6")
    quarter = inverted_residuals(x, V2[:2], (1, 2), width)
    x = inverted_residuals(quarter, V2[2:6], (2, 2, 1, 1), width, first=3)
    branches = [conv_bn(x, head, 1, "aspp1", activation="relu6")]
    for rate in (2, 4, 8):
        name = f"aspp{rate}"
        y = depthwise(x, 3, f"{name}_depthwise", dilation=rate)
        y = bn_act(y, f"{name}_depthwise", "relu6")
        branches.append(conv_bn(y, head, 1, name, activation="relu6"))
    x = layers.Concatenate(name="aspp")(branches)
    x = conv_bn(x, head, 1, "aspp_project", activation="relu6")
    x = _larger(x, "head_larger")
    detail = conv_bn(quarter, head // 3, 1, "detail", activation="relu6")
    x = layers.Concatenate(name="decoder")([x, detail])
    x = bn_act(depthwise(x, 3, "decoder_depthwise"), "decoder_depthwise", "relu6")
    x = conv_bn(x, head, 1, "decoder_project", activation="relu6")
    x = _larger(_logits(x, num_classes), "logits_larger", dtype="float32")
    return keras.Model(inputs, x, name="mobilenetv2_aspp")


def mobilenetv2_aspp_small(image_shape: tuple, num_classes: int) -> keras.Model:
    """The same of a third of the width, for a first run on a processor.

    At 96x96x3 and 6 classes: 14.5 M MACs, 0.23 M parameters. Arguments, result and
    source as for `mobilenetv2_aspp`.
    """
    return mobilenetv2_aspp(image_shape, num_classes, 0.35, 48)


def _pair(x, filters, name):
    for turn in (1, 2):
        x = conv_bn(x, filters, 3, f"{name}_conv{turn}")
    return x


def _logits(x, num_classes):
    return layers.Conv2D(
        num_classes,
        1,
        kernel_initializer="he_normal",
        dtype="float32",
        name="logits",
    )(x)


def _larger(x, name, **settings):
    """Four times as large, with smooth steps.

    Keras 3.15 cannot interpolate what has a size that it does not know (its
    `ops.image.resize` compares it with 0); means over five repeated pixels are nearly
    the same.
    """
    x = layers.UpSampling2D(4, name=name, **settings)(x)
    name = f"{name}_smooth"
    return layers.AveragePooling2D(5, 1, padding="same", name=name, **settings)(x)
