"""Residual networks for small images: He et al., and Zagoruyko and Komodakis."""

from collections.abc import Sequence

import keras
from keras import layers

from hh_keras.models.blocks import bn_act, classifier, conv, conv_bn, pixels


def resnet8(
    image_shape: tuple, num_classes: int, widths: Sequence[int] = (16, 32, 64)
) -> keras.Model:
    """ResNet-8 for small images: one block per stage.

    Arguments, result and source as for `resnet20`.
    """
    return _resnet(image_shape, num_classes, 1, widths, "resnet8")


def resnet20(
    image_shape: tuple, num_classes: int, widths: Sequence[int] = (16, 32, 64)
) -> keras.Model:
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


def resnet32(
    image_shape: tuple, num_classes: int, widths: Sequence[int] = (16, 32, 64)
) -> keras.Model:
    """ResNet-32 for small images.

    At 32x32x3 and 10 classes: 69.12 M MACs, 0.47 M parameters (the paper: 0.46 M).
    Arguments, result and source as for `resnet20`.
    """
    return _resnet(image_shape, num_classes, 5, widths, "resnet32")


def resnet56(
    image_shape: tuple, num_classes: int, widths: Sequence[int] = (16, 32, 64)
) -> keras.Model:
    """ResNet-56 for small images.

    At 32x32x3 and 10 classes: 125.75 M MACs, 0.86 M parameters (the paper's, without
    projections: 125.49 M and 0.85 M). Arguments, result and source as for `resnet20`.
    """
    return _resnet(image_shape, num_classes, 9, widths, "resnet56")


def resnet110(
    image_shape: tuple, num_classes: int, widths: Sequence[int] = (16, 32, 64)
) -> keras.Model:
    """ResNet-110 for small images.

    At 32x32x3 and 10 classes: 253.1 M MACs, 1.74 M parameters (the paper: 1.7 M).
    Arguments, result and source as for `resnet20`.
    """
    return _resnet(image_shape, num_classes, 18, widths, "resnet110")


def preresnet164(
    image_shape: tuple, num_classes: int, widths: Sequence[int] = (64, 128, 256)
) -> keras.Model:
    """Pre-activation ResNet-164 for small images: bottlenecks, 18 per stage.

    At 32x32x3 and 10 classes: 1.7 M parameters, as the paper says.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: number of logits.
        widths: channels of the three stages; a quarter inside the bottlenecks.

    Returns:
        A functional model from raw pixels to logits.

    Reference:
        He et al., Identity Mappings in Deep Residual Networks, ECCV 2016, Table 3,
        arXiv:1603.05027.
    """
    inner = [(width // 4, width) for width in widths]
    return _preactivated(image_shape, num_classes, 18, inner, (1, 3, 1), "preresnet164")


def wrn28_10(
    image_shape: tuple, num_classes: int, depth: int = 28, widening: int = 10
) -> keras.Model:
    """Wide residual network.

    At 32x32x3 and 10 classes: 36.5 M parameters, as the paper says; WRN-40-4
    (`depth=40, widening=4`): 8.9 M.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: number of logits.
        depth: layers, 6 n + 4.
        widening: multiplies the stages' 16, 32 and 64 channels.

    Returns:
        A functional model from raw pixels to logits.

    Reference:
        Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016, Table 4,
        arXiv:1605.07146.
    """
    widths = [(n * widening,) * 2 for n in (16, 32, 64)]
    blocks = (depth - 4) // 6
    name = f"wrn{depth}_{widening}"
    return _preactivated(image_shape, num_classes, blocks, widths, (3, 3), name)


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


def _preactivated(image_shape, num_classes, blocks_per_stage, widths, kernels, name):
    """A residual network that normalises before it convolves.

    Args:
        widths: per stage, channels inside a block and behind it.
        kernels: sizes of a block's convolutions.
    """
    inputs, x = pixels(image_shape)
    x = conv(x, 16, 3, "conv1")
    for stage, (inside, behind) in enumerate(widths, start=1):
        for block in range(1, blocks_per_stage + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            filters = [inside] * (len(kernels) - 1) + [behind]
            path = f"stage{stage}_block{block}"
            x = _preactivated_block(x, filters, kernels, strides, path)
    x = bn_act(x, "final")
    return keras.Model(inputs, classifier(x, num_classes), name=name)


def _preactivated_block(x, filters, kernels, strides, name):
    shortcut = x
    for k, (width, size) in enumerate(zip(filters, kernels, strict=True), start=1):
        x = bn_act(x, f"{name}_pre{k}")
        if k == 1 and (strides != 1 or x.shape[-1] != filters[-1]):
            shortcut = conv(x, filters[-1], 1, f"{name}_shortcut", strides)
        x = conv(x, width, size, f"{name}_conv{k}", strides if k == 1 else 1)
    return layers.Add(name=f"{name}_add")([x, shortcut])
