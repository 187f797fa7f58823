"""ResNets for photographs, with the widths and strides of torchvision.

keras.applications has 50, 101 and 152 layers only, with the strides in the first
convolution of a block and with biases.
"""

from collections.abc import Sequence

import keras
from keras import layers

from hh_keras.models.blocks import bn_act, classifier, conv, conv_bn, pixels

WIDTHS = (64, 128, 256, 512)


def resnet18(
    image_shape: tuple, num_classes: int, widths: Sequence[int] = WIDTHS
) -> keras.Model:
    """ResNet-18: 11.69 M trained parameters, 1.81 G MACs at 224x224x3, 1000 classes.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: number of logits.
        widths: channels of the four stages' 3x3 convolutions.

    Returns:
        A functional model from raw pixels to logits.

    Reference:
        He et al., Deep Residual Learning, CVPR 2016, Table 1, arXiv:1512.03385;
        figures: torchvision 0.20, whose strides are in the 3x3 convolutions.
    """
    return _resnet(image_shape, num_classes, (2, 2, 2, 2), widths, False, "resnet18")


def resnet34(
    image_shape: tuple, num_classes: int, widths: Sequence[int] = WIDTHS
) -> keras.Model:
    """ResNet-34: 21.80 M trained parameters, 3.66 G MACs; else as `resnet18`."""
    return _resnet(image_shape, num_classes, (3, 4, 6, 3), widths, False, "resnet34")


def resnet50(
    image_shape: tuple, num_classes: int, widths: Sequence[int] = WIDTHS
) -> keras.Model:
    """ResNet-50: 25.56 M trained parameters, 4.09 G MACs; else as `resnet18`."""
    return _resnet(image_shape, num_classes, (3, 4, 6, 3), widths, True, "resnet50")


def resnet101(
    image_shape: tuple, num_classes: int, widths: Sequence[int] = WIDTHS
) -> keras.Model:
    """ResNet-101: 44.55 M trained parameters, 7.80 G MACs; else as `resnet18`."""
    return _resnet(image_shape, num_classes, (3, 4, 23, 3), widths, True, "resnet101")


def resnet152(
    image_shape: tuple, num_classes: int, widths: Sequence[int] = WIDTHS
) -> keras.Model:
    """ResNet-152: 60.19 M trained parameters, 11.51 G MACs; else as `resnet18`."""
    return _resnet(image_shape, num_classes, (3, 8, 36, 3), widths, True, "resnet152")


def _resnet(image_shape, num_classes, depths, widths, bottlenecks, name):
    inputs, x = pixels(image_shape)
    x = conv_bn(x, widths[0], 7, "conv1", strides=2)
    x = layers.MaxPooling2D(3, 2, padding="same", name="max_pool")(x)
    block_of = _bottleneck if bottlenecks else _basic
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        for block in range(1, depth + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = block_of(x, width, stride, f"stage{stage}_block{block}")
    return keras.Model(inputs, classifier(x, num_classes), name=name)


def _basic(x, width, stride, name):
    shortcut = _shortcut(x, width, stride, name)
    x = conv_bn(x, width, 3, f"{name}_conv1", strides=stride)
    x = conv_bn(x, width, 3, f"{name}_conv2", activation=None)
    return _joined(x, shortcut, name)


def _bottleneck(x, width, stride, name):
    shortcut = _shortcut(x, 4 * width, stride, name)
    x = conv_bn(x, width, 1, f"{name}_conv1")
    x = conv_bn(x, width, 3, f"{name}_conv2", strides=stride)
    x = conv_bn(x, 4 * width, 1, f"{name}_conv3", activation=None)
    return _joined(x, shortcut, name)


def _shortcut(x, width, stride, name):
    if stride == 1 and x.shape[-1] == width:
        return x
    x = conv(x, width, 1, f"{name}_shortcut", stride)
    return bn_act(x, f"{name}_shortcut", None)


def _joined(x, shortcut, name):
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.Activation("relu", name=f"{name}_relu")(x)
