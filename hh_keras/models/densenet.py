"""DenseNet for small images."""

import keras
from keras import layers

from hh_keras.models.blocks import classifier, pixels


def densenet40(image_shape, num_classes, growth=12):
    """DenseNet-40, without bottlenecks or compression.

    At 32x32x3, 10 classes and `growth=12`: 264.81 M MACs, 1.02 M parameters (the
    paper's Table 2: 1.0 M).

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: number of logits.
        growth: channels that every layer adds (k in the paper).

    Returns:
        A functional model from raw pixels to logits.

    Reference:
        Huang et al., Densely Connected Convolutional Networks, CVPR 2017,
        section 3, arXiv:1608.06993.
    """
    inputs, x = pixels(image_shape)
    x = _conv(x, 16, 3, "conv1")
    for block in (1, 2, 3):
        for layer in range(1, 13):
            name = f"block{block}_layer{layer}"
            new = _conv(_bn_relu(x, name), growth, 3, f"{name}_conv")
            x = layers.Concatenate(name=f"{name}_concat")([x, new])
        if block < 3:
            name = f"transition{block}"
            x = _conv(_bn_relu(x, name), x.shape[-1], 1, f"{name}_conv")
            x = layers.AveragePooling2D(2, padding="same", name=f"{name}_pool")(x)
    x = _bn_relu(x, "final")
    return keras.Model(inputs, classifier(x, num_classes), name="densenet40")


def _conv(x, filters, kernel_size, name):
    return layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _bn_relu(x, name):
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)
