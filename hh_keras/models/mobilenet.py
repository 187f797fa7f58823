"""MobileNets V1 to V3, MNASNet, EfficientNets B0 and Lite0: tables of depthwise blocks.

Strides are the papers' from 128 pixels on; smaller images lose the first of them, see
`blocks.strides_for`.
"""

import dataclasses
from collections.abc import Callable, Sequence

import keras
from keras import layers

from hh_keras.models.blocks import (
    bn_act,
    classifier,
    conv_bn,
    depthwise,
    pixels,
    round_to_8,
    squeeze_excite,
    strides_for,
)


@dataclasses.dataclass(frozen=True)
class Row:
    """A stage of inverted residuals.

    Attributes:
        expansion: channels inside a block over those at its entry.
        kernel: side of the depthwise convolution.
        channels: behind every block.
        blocks: how many.
        stride: of the first block.
        squeeze: whether the blocks weigh their channels.
        activation: of the blocks.
    """

    expansion: float
    kernel: int
    channels: int
    blocks: int
    stride: int
    squeeze: bool = False
    activation: str = "relu"


# Table 1 of the paper: channels and stride behind the stem.
_V1 = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)

# Table 2 of the paper. Its strides of the stem and of the second row are 2; for small
# images both are 1.
V2 = (
    Row(1, 3, 16, 1, 1, activation="relu6"),
    Row(6, 3, 24, 2, 1, activation="relu6"),
    Row(6, 3, 32, 3, 2, activation="relu6"),
    Row(6, 3, 64, 4, 2, activation="relu6"),
    Row(6, 3, 96, 3, 1, activation="relu6"),
    Row(6, 3, 160, 3, 2, activation="relu6"),
    Row(6, 3, 320, 1, 1, activation="relu6"),
)

# Tables 1 and 2 of the paper.
_V3_LARGE = (
    Row(1, 3, 16, 1, 1),
    Row(4, 3, 24, 1, 2),
    Row(3, 3, 24, 1, 1),
    Row(3, 5, 40, 3, 2, True),
    Row(6, 3, 80, 1, 2, False, "hard_silu"),
    Row(2.5, 3, 80, 1, 1, False, "hard_silu"),
    Row(2.3, 3, 80, 2, 1, False, "hard_silu"),
    Row(6, 3, 112, 2, 1, True, "hard_silu"),
    Row(6, 5, 160, 3, 2, True, "hard_silu"),
)
_V3_SMALL = (
    Row(1, 3, 16, 1, 2, True),
    Row(4.5, 3, 24, 1, 2),
    Row(88 / 24, 3, 24, 1, 1),
    Row(4, 5, 40, 1, 2, True, "hard_silu"),
    Row(6, 5, 40, 2, 1, True, "hard_silu"),
    Row(3, 5, 48, 2, 1, True, "hard_silu"),
    Row(6, 5, 96, 3, 2, True, "hard_silu"),
)

# Figure 7 of the paper, B1.
_MNASNET = (
    Row(1, 3, 16, 1, 1),
    Row(3, 3, 24, 3, 2),
    Row(3, 5, 40, 3, 2),
    Row(6, 5, 80, 3, 2),
    Row(6, 3, 96, 2, 1),
    Row(6, 5, 192, 4, 2),
    Row(6, 3, 320, 1, 1),
)

# Table 1 of the paper.
_EFFICIENTNET_B0 = (
    Row(1, 3, 16, 1, 1, True, "silu"),
    Row(6, 3, 24, 2, 2, True, "silu"),
    Row(6, 5, 40, 2, 2, True, "silu"),
    Row(6, 3, 80, 3, 2, True, "silu"),
    Row(6, 5, 112, 3, 1, True, "silu"),
    Row(6, 5, 192, 4, 2, True, "silu"),
    Row(6, 3, 320, 1, 1, True, "silu"),
)


def mobilenetv1(
    image_shape: tuple, num_classes: int, width: float = 1.0
) -> keras.Model:
    """MobileNetV1.

    At 224x224x3 and 1000 classes: 4.23 M trained parameters, 569 M MACs (the paper's
    Table 8: 4.2 M and 569 M).

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: number of logits.
        width: multiplies all channel counts, which are rounded to multiples of 8.

    Returns:
        A functional model from raw pixels to logits.

    Reference:
        Howard et al., MobileNets, arXiv:1704.04861.
    """
    inputs, x = pixels(image_shape)
    stem, *strides = strides_for(image_shape, (2, *(s for _, s in _V1)))
    x = conv_bn(x, round_to_8(32 * width), 3, "conv1", strides=stem)
    for block, ((channels, _), stride) in enumerate(zip(_V1, strides), start=1):
        name = f"block{block}"
        x = depthwise(x, 3, f"{name}_depthwise", stride)
        x = bn_act(x, f"{name}_depthwise")
        x = conv_bn(x, round_to_8(channels * width), 1, f"{name}_pointwise")
    return keras.Model(inputs, classifier(x, num_classes), name="mobilenetv1")


def mobilenetv2_small(
    image_shape: tuple, num_classes: int, width: float = 1.0
) -> keras.Model:
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
    x = conv_bn(x, round_to_8(32 * width), 3, "conv1", activation="relu6")
    x = inverted_residuals(x, V2, [row.stride for row in V2], width)
    x = conv_bn(x, round_to_8(1280 * max(1.0, width)), 1, "conv2", activation="relu6")
    return keras.Model(inputs, classifier(x, num_classes), name="mobilenetv2_small")


def mobilenetv2_tiny(image_shape: tuple, num_classes: int) -> keras.Model:
    """MobileNetV2 of a quarter of the width, for small images.

    At 28x28x1 and 10 classes: 7.84 M MACs, 0.26 M parameters, of which the last
    convolution, as wide as ever, and the classifier take nearly half. Arguments, result
    and source as for `mobilenetv2_small`.
    """
    model = mobilenetv2_small(image_shape, num_classes, 0.25)
    return keras.Model(model.inputs, model.outputs, name="mobilenetv2_tiny")


def mobilenetv3_large(
    image_shape: tuple, num_classes: int, width: float = 1.0
) -> keras.Model:
    """MobileNetV3-Large.

    At 224x224x3 and 1000 classes: 5.48 M trained parameters, 217 M MACs (the paper's
    Table 3: 5.4 M and 219 M). Arguments and result as for `mobilenetv1`.

    Reference:
        Howard et al., Searching for MobileNetV3, ICCV 2019, arXiv:1905.02244.
    """
    sizes = 960, 1280
    name = "mobilenetv3_large"
    return _mobilenetv3(image_shape, num_classes, _V3_LARGE, sizes, width, name)


def mobilenetv3_small(
    image_shape: tuple, num_classes: int, width: float = 1.0
) -> keras.Model:
    """MobileNetV3-Small.

    At 224x224x3 and 1000 classes: 2.54 M trained parameters, 56.5 M MACs (the paper's
    Table 3: 2.5 M and 56 M). Arguments, result and source as for `mobilenetv3_large`.
    """
    sizes = 576, 1024
    name = "mobilenetv3_small"
    return _mobilenetv3(image_shape, num_classes, _V3_SMALL, sizes, width, name)


def _mobilenetv3(image_shape, num_classes, rows, sizes, width, name):
    inputs, x = pixels(image_shape)
    stem, *strides = strides_for(image_shape, (2, *(row.stride for row in rows)))
    x = conv_bn(x, round_to_8(16 * width), 3, "conv1", None, stem, "hard_silu")

    def squeeze(x, entry, prefix):
        units = round_to_8(x.shape[-1] / 4)
        return squeeze_excite(x, units, prefix, gate="hard_sigmoid")

    x = inverted_residuals(x, rows, strides, width, squeeze)
    last, hidden = (round_to_8(n * width) for n in sizes)
    x = conv_bn(x, last, 1, "conv2", activation="hard_silu")
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    x = layers.Dense(hidden, activation="hard_silu", name="hidden")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)


def mnasnet(image_shape: tuple, num_classes: int, width: float = 1.0) -> keras.Model:
    """MNASNet-B1.

    At 224x224x3 and 1000 classes: 4.38 M trained parameters, 314 M MACs (torchvision
    0.20: 4,383,312 and 314 M). Arguments and result as for `mobilenetv1`.

    Reference:
        Tan et al., MnasNet, CVPR 2019, arXiv:1807.11626.
    """
    inputs, x = pixels(image_shape)
    strides = (2, *(row.stride for row in _MNASNET))
    stem, *strides = strides_for(image_shape, strides)
    x = conv_bn(x, round_to_8(32 * width), 3, "conv1", strides=stem)
    x = inverted_residuals(x, _MNASNET, strides, width)
    x = conv_bn(x, 1280, 1, "conv2")
    return keras.Model(inputs, classifier(x, num_classes), name="mnasnet")


def efficientnet_b0(
    image_shape: tuple, num_classes: int, width: float = 1.0
) -> keras.Model:
    """EfficientNet-B0.

    At 224x224x3 and 1000 classes: 5.29 M trained parameters, 386 M MACs (the paper's
    Table 2: 5.3 M and 0.39 G). keras.applications has it with strides for large images
    only. Arguments and result as for `mobilenetv1`.

    Reference:
        Tan and Le, EfficientNet, ICML 2019, arXiv:1905.11946.
    """
    rows = _EFFICIENTNET_B0
    inputs, x = pixels(image_shape)
    stem, *strides = strides_for(image_shape, (2, *(row.stride for row in rows)))
    x = conv_bn(x, round_to_8(32 * width), 3, "conv1", None, stem, "silu")

    def squeeze(x, entry, prefix):
        return squeeze_excite(x, max(1, entry // 4), prefix, inner="silu")

    x = inverted_residuals(x, rows, strides, width, squeeze)
    x = conv_bn(x, round_to_8(1280 * width), 1, "conv2", activation="silu")
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name="efficientnet_b0")


def efficientnet_lite0(image_shape: tuple, num_classes: int) -> keras.Model:
    """EfficientNet-Lite0: B0 without squeeze-and-excite, with ReLU6, for phones.

    At 224x224x3 and 1000 classes: 4.65 M trained parameters, 385 M MACs (the authors:
    4.7 M and 407 M). Arguments and result as for `mobilenetv1`, without `width`.

    Reference:
        github.com/tensorflow/tpu, models/official/efficientnet/lite.
    """
    rows = [
        dataclasses.replace(row, squeeze=False, activation="relu6")
        for row in _EFFICIENTNET_B0
    ]
    inputs, x = pixels(image_shape)
    stem, *strides = strides_for(image_shape, (2, *(row.stride for row in rows)))
    x = conv_bn(x, 32, 3, "conv1", None, stem, "relu6")
    x = inverted_residuals(x, rows, strides, 1.0)
    x = conv_bn(x, 1280, 1, "conv2", activation="relu6")
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name="efficientnet_lite0")


def inverted_residuals(
    x: keras.KerasTensor,
    rows: Sequence[Row],
    strides: Sequence[int],
    width: float,
    squeeze: Callable | None = None,
    first: int = 1,
) -> keras.KerasTensor:
    """Inverted residuals by a table.

    Args:
        x: tensor of shape `(batch, height, width, channels)`.
        rows: a `Row` per stage.
        strides: of the first block of each.
        width: multiplies the rows' channels.
        squeeze: `f(x, channels at the block's entry, name)` of rows that squeeze.
        first: number of the first stage, in the names of its layers.

    Returns:
        A tensor of the last row's channels.
    """
    for stage, (row, stride) in enumerate(zip(rows, strides, strict=True), first):
        for block in range(1, row.blocks + 1):
            own = stride if block == 1 else 1
            channels = round_to_8(row.channels * width)
            name = f"stage{stage}_block{block}"
            x = _inverted_residual(x, row, channels, own, name, squeeze)
    return x


def _inverted_residual(x, row, channels, stride, name, squeeze):
    shortcut, entry = x, x.shape[-1]
    if row.expansion != 1:
        depth = entry * row.expansion
        depth = int(depth) if depth == int(depth) else round_to_8(depth)
        x = conv_bn(x, depth, 1, f"{name}_expand", activation=row.activation)
    x = depthwise(x, row.kernel, f"{name}_depthwise", stride)
    x = bn_act(x, f"{name}_depthwise", row.activation)
    if row.squeeze:
        x = squeeze(x, entry, f"{name}_se")
    x = conv_bn(x, channels, 1, f"{name}_project", activation=None)
    if stride == 1 and entry == channels:
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    return x
