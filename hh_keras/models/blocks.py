"""The pieces that networks of the registry share: entry, layers, exit."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

# The papers'; 0.99, Keras' own, needs more steps than a short training has.
MOMENTUM = 0.9


def pixels(image_shape: tuple) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Opens a network: an input of raw pixels, scaled to -1..1 inside the graph.

    Args:
        image_shape: `(height, width, channels)`.

    Returns:
        The input tensor and the scaled tensor.
    """
    inputs = layers.Input(shape=image_shape, name="image")
    return inputs, layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)


def conv(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    strides: int = 1,
    groups: int = 1,
) -> keras.KerasTensor:
    """Convolution without bias, padded so that only strides make the map smaller.

    Args:
        x: tensor of shape `(batch, height, width, channels)`.
        filters: output channels.
        kernel_size: side of the square kernel.
        name: of the layer.
        strides: the same in both directions.
        groups: of channels that are convolved apart from each other.

    Returns:
        A tensor of shape `(batch, height / strides, width / strides, filters)`.
    """
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        groups=groups,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def bn_act(
    x: keras.KerasTensor, name: str, activation: str | None = "relu"
) -> keras.KerasTensor:
    """Batch normalisation `NAME_bn` and, unless None, an activation `NAME_ACTIVATION`.

    Args:
        x: tensor of shape `(batch, height, width, channels)`.
        name: see above.
        activation: name of a Keras activation, or None.

    Returns:
        A tensor of the same shape.
    """
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
    if activation is None:
        return x
    return layers.Activation(activation, name=f"{name}_{activation}")(x)


def depthwise(
    x: keras.KerasTensor,
    kernel_size: int,
    name: str,
    strides: int = 1,
    dilation: int = 1,
) -> keras.KerasTensor:
    """Depthwise convolution without bias, padded as `conv` does."""
    return layers.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=name,
    )(x)


def squeeze_excite(
    x: keras.KerasTensor,
    units: int,
    name: str,
    inner: str = "relu",
    gate: str = "sigmoid",
) -> keras.KerasTensor:
    """Weighs channels by a gate that sees the mean of each.

    Args:
        x: tensor of shape `(batch, height, width, channels)`.
        units: channels between.
        name: prefix of the layers' names.
        inner, gate: names of Keras activations.

    Returns:
        A tensor of the same shape.

    Reference: Hu et al., CVPR 2018, arXiv:1709.01507.
    """
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    y = layers.Conv2D(units, 1, activation=inner, name=f"{name}_reduce")(y)
    y = layers.Conv2D(x.shape[-1], 1, activation=gate, name=f"{name}_excite")(y)
    return layers.Multiply(name=f"{name}_gate")([x, y])


def conv_bn(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    bn_name: str | None = None,
    strides: int = 1,
    activation: str | None = "relu",
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation, and an optional activation.

    Args:
        x: tensor of shape `(batch, height, width, channels)`.
        filters: output channels.
        kernel_size: side of the square kernel.
        name: name of the convolution.
        bn_name: name of the normalisation; by default `name` with `_bn` added.
        strides: the same in both directions.
        activation: name of a Keras activation, or None.

    Returns:
        A tensor of shape `(batch, height / strides, width / strides, filters)`.
    """
    x = conv(x, filters, kernel_size, name, strides)
    x = layers.BatchNormalization(momentum=MOMENTUM, name=bn_name or f"{name}_bn")(x)
    if activation is None:
        return x
    return layers.Activation(activation, name=f"{name}_{activation}")(x)


def strides_for(image_shape: tuple, strides: Any) -> Any:
    """Strides for an image size: the first become 1 until the last map has 4 pixels.

    Args:
        image_shape: `(height, width, channels)`.
        strides: of the layers in their order, as a paper on 224 pixels has them.

    Returns:
        A list of as many strides.

    Examples:
        >>> strides_for((32, 32, 3), (2, 1, 2, 2, 1, 2, 2))
        [1, 1, 1, 2, 1, 2, 2]
    """
    strides = list(strides)
    least = min(image_shape[:2])
    for i, stride in enumerate(strides):
        if least / math.prod(strides) > 3:
            break
        strides[i] = 1 if stride == 2 else stride
    return strides


def round_to_8(channels: float) -> int:
    """Nearest multiple of 8, at least 8, never more than 10 % below `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def classifier(x: keras.KerasTensor, num_classes: int) -> keras.KerasTensor:
    """Closes a network: global average pooling and a float32 layer of logits.

    Args:
        x: tensor of shape `(batch, height, width, channels)`.
        num_classes: units of the last layer.

    Returns:
        Logits of shape `(batch, num_classes)`, float32 under any dtype policy.
    """
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    return layers.Dense(
        num_classes, kernel_initializer="he_normal", dtype="float32", name="logits"
    )(x)


def u_shape(
    x: keras.KerasTensor, width: int, levels: int, pair: Callable
) -> keras.KerasTensor:
    """A U-Net between its input and its output, arXiv:1505.04597.

    Args:
        x: features.
        width: channels of the first level; each further one has twice as many.
        levels: how often maps are halved.
        pair: `pair(x, filters, name)`, the two convolutions of a level.
    """
    skips = []
    for level in range(levels):
        x = pair(x, width * 2**level, f"down{level + 1}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"down{level + 1}_pool")(x)
    x = pair(x, width * 2**levels, "bottom")
    for level in reversed(range(levels)):
        name, filters = f"up{level + 1}", width * 2**level
        x = layers.Conv2DTranspose(
            filters, 2, 2, kernel_initializer="he_normal", name=f"{name}_transposed"
        )(x)
        x = layers.Concatenate(name=f"{name}_skip")([x, skips[level]])
        x = pair(x, filters, name)
    return x
