"""Residual networks for small images."""

import keras
from keras import layers

from hh_keras.models.blocks import classifier, conv_bn, pixels


def resnet20(image_shape, num_classes, widths=(16, 32, 64)):
    """ResNet-20 for small images.

    At 32x32x3 and 10 classes: 40.81 M MACs, 0.27 M parameters (the paper's Table 6
    says 0.27 M; it uses shortcuts without parameters).

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: number of logits.
        widths: channels of the three stages.

    Returns:
        A functional model from raw pixels to logits.

    Reference:
        He et al., Deep Residual Learning, CVPR 2016, section 4.2, arXiv:1512.03385.
    """
    return _resnet(image_shape, num_classes, 3, widths, "resnet20")


def resnet32(image_shape, num_classes, widths=(16, 32, 64)):
    """ResNet-32 for small images.

    At 32x32x3 and 10 classes: 69.12 M MACs, 0.47 M parameters (the paper: 0.46 M).
    Arguments, result and source as for `resnet20`.
    """
    return _resnet(image_shape, num_classes, 5, widths, "resnet32")


def resnet56(image_shape, num_classes, widths=(16, 32, 64)):
    """ResNet-56 for small images.

    At 32x32x3 and 10 classes: 125.75 M MACs, 0.86 M parameters (the paper's, without
    projections: 125.49 M and 0.85 M). Arguments, result and source as for `resnet20`.
    """
    return _resnet(image_shape, num_classes, 9, widths, "resnet56")


def _resnet(image_shape, num_classes, blocks_per_stage, widths, name):
    inputs, x = pixels(image_shape)
    x = conv_bn(x, widths[0], 3, name="conv1")
    for stage, width in enumerate(widths, start=1):
        for block in range(1, blocks_per_stage + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _basic_block(x, width, strides, f"stage{stage}_block{block}")
    return keras.Model(inputs, classifier(x, num_classes), name=name)


def _basic_block(x, width, strides, name):
    shortcut = x
    x = conv_bn(x, width, 3, f"{name}_conv1", bn_name=f"{name}_bn1", strides=strides)
    x = conv_bn(x, width, 3, f"{name}_conv2", bn_name=f"{name}_bn2", activation=None)
    # The paper's option B: a projection where the shape changes. Option A pads with
    # zero channels, which ties the widths of the stages to each other.
    if strides != 1 or shortcut.shape[-1] != width:
        shortcut = conv_bn(
            shortcut,
            width,
            1,
            f"{name}_shortcut",
            bn_name=f"{name}_shortcut_bn",
            strides=strides,
            activation=None,
        )
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.Activation("relu", name=f"{name}_relu")(x)
