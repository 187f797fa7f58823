"""MobileNetV2 with the strides that small images need."""

import keras
from keras import layers

from hh_keras.models.blocks import classifier, conv_bn, pixels

# Table 2 of the paper: expansion, channels, blocks, stride of the first block. The
# paper's strides of the stem and of the second row are 2; at 32 px both are 1.
_ROWS = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenetv2_small(image_shape, num_classes, width=1.0):
    """MobileNetV2 for small images: the paper's channels, two strides fewer.

    At 32x32x3 and 10 classes: 87.98 M MACs, 2.24 M parameters at `width=1.0`.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: number of logits.
        width: multiplies all channel counts, which are rounded to multiples of 8;
            the last convolution keeps at least 1280.

    Returns:
        A functional model from raw pixels to logits.

    Reference:
        Sandler et al., MobileNetV2, CVPR 2018, arXiv:1801.04381.
    """
    inputs, x = pixels(image_shape)
    x = conv_bn(x, _round_to_8(32 * width), 3, "conv1", activation="relu6")
    for stage, (expansion, channels, blocks, stride) in enumerate(_ROWS, start=1):
        for block in range(1, blocks + 1):
            x = _inverted_residual(
                x,
                _round_to_8(channels * width),
                expansion,
                stride if block == 1 else 1,
                f"stage{stage}_block{block}",
            )
    x = conv_bn(x, _round_to_8(1280 * max(1.0, width)), 1, "conv2", activation="relu6")
    return keras.Model(inputs, classifier(x, num_classes), name="mobilenetv2_small")


def _inverted_residual(x, channels, expansion, strides, name):
    shortcut, depth = x, x.shape[-1] * expansion
    if expansion != 1:
        x = conv_bn(x, depth, 1, f"{name}_expand", activation="relu6")
    x = layers.DepthwiseConv2D(
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )(x)
    x = layers.BatchNormalization(name=f"{name}_depthwise_bn")(x)
    x = layers.Activation("relu6", name=f"{name}_depthwise_relu6")(x)
    x = conv_bn(x, channels, 1, f"{name}_project", activation=None)
    if strides == 1 and shortcut.shape[-1] == channels:
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    return x


def _round_to_8(channels):
    """Nearest multiple of 8, at least 8, never more than 10 % below `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
