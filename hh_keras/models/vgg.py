"""VGG with batch normalisation for small images."""

from collections.abc import Sequence

import keras
from keras import layers

from hh_keras.models.blocks import classifier, conv_bn, pixels


def vgg11_small(
    image_shape: tuple,
    num_classes: int,
    widths: Sequence[int] = (64, 128, 256, 512, 512),
) -> keras.Model:
    """VGG-11 for small images: batch normalisation, one dense layer.

    At 32x32x3 and 10 classes: 152.77 M MACs, 9.23 M parameters. The convolutions are
    the paper's configuration A; its three dense layers, made for 224 px, give way to
    average pooling and one dense layer.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: number of logits.
        widths: channels of the five stages.

    Returns:
        A functional model from raw pixels to logits.

    Reference:
        Simonyan and Zisserman, ICLR 2015, Table 1 (A), arXiv:1409.1556.
    """
    inputs, x = pixels(image_shape)
    for stage, width in enumerate(widths, start=1):
        for conv in range(1, 2 if stage <= 2 else 3):
            name = f"stage{stage}_conv{conv}"
            x = conv_bn(x, width, 3, name, bn_name=f"stage{stage}_bn{conv}")
        # "same" equals the paper's pooling at 32 px and also takes 28 px and less.
        x = layers.MaxPooling2D(2, padding="same", name=f"stage{stage}_pool")(x)
    return keras.Model(inputs, classifier(x, num_classes), name="vgg11_small")
