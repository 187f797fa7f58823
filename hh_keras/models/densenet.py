"""DenseNet for small images."""

import keras
from keras import layers

from hh_keras.models.blocks import bn_act, classifier, conv, pixels


def densenet40(
    image_shape: tuple, num_classes: int, growth: int = 12, depth: int = 40
) -> keras.Model:
    """DenseNet-40, without bottlenecks or compression.

    At 32x32x3, 10 classes and `growth=12`: 264.81 M MACs, 1.02 M parameters (the
    paper's Table 2: 1.0 M).

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: number of logits.
        growth: channels that every layer adds (k in the paper).
        depth: layers, 3 n + 4.

    Returns:
        A functional model from raw pixels to logits.

    Reference:
        Huang et al., Densely Connected Convolutional Networks, CVPR 2017,
        section 3, arXiv:1608.06993.
    """
    return _densenet(image_shape, num_classes, depth, growth, False)


def densenet_bc100(
    image_shape: tuple, num_classes: int, growth: int = 12, depth: int = 100
) -> keras.Model:
    """DenseNet-BC-100: bottlenecks of four times the growth, half the channels kept.

    At 32x32x3, 10 classes and `growth=12`: 0.8 M parameters, as the paper says.
    Arguments, result and source as for `densenet40`; `depth` is 6 n + 4.
    """
    return _densenet(image_shape, num_classes, depth, growth, True)


def _densenet(image_shape, num_classes, depth, growth, bottlenecks):
    inputs, x = pixels(image_shape)
    x = conv(x, 2 * growth if bottlenecks else 16, 3, "conv1")
    for block in (1, 2, 3):
        for layer in range(1, (depth - 4) // (6 if bottlenecks else 3) + 1):
            name = f"block{block}_layer{layer}"
            new = bn_act(x, name)
            if bottlenecks:
                new = conv(new, 4 * growth, 1, f"{name}_bottleneck")
                new = bn_act(new, f"{name}_inner")
            new = conv(new, growth, 3, f"{name}_conv")
            x = layers.Concatenate(name=f"{name}_concat")([x, new])
        if block < 3:
            name = f"transition{block}"
            width = x.shape[-1] // 2 if bottlenecks else x.shape[-1]
            x = conv(bn_act(x, name), width, 1, f"{name}_conv")
            x = layers.AveragePooling2D(2, padding="same", name=f"{name}_pool")(x)
    x = bn_act(x, "final")
    kind = "densenet_bc" if bottlenecks else "densenet"
    return keras.Model(inputs, classifier(x, num_classes), name=f"{kind}{depth}")
