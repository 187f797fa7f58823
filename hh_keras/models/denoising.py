"""Networks that take noise out of images: DnCNN and a U-Net.

They take grey or RGB images, float32 pixels 0 to 255, and return pixels of the same
range and size; the scaling is part of the graph. DnCNN takes any size, the U-Net
multiples of 16.
"""

import keras
from keras import layers

from hh_keras.models.blocks import u_shape


def dncnn_s(
    image_shape: tuple = (None, None, 1), depth: int = 17, width: int = 64
) -> keras.Model:
    """DnCNN-S, for noise of one strength: 17 layers that predict the noise.

    Grey: 0.556 M multiply-accumulates per pixel (9.10 G at 128x128), 0.56 M parameters.

    Args:
        image_shape: `(height, width, channels)`; sizes may be None.
        depth: convolutions, at least 3.
        width: channels.

    Returns:
        A functional model from noisy to clean pixels.

    Reference: Zhang et al., Beyond a Gaussian Denoiser, TIP 2017, arXiv:1608.03981.
    """
    inputs, x = _rescaled(image_shape)
    x = layers.ReLU(name="relu1")(_conv(x, width, "conv1"))
    for layer in range(2, depth):
        x = _conv(x, width, f"conv{layer}", use_bias=False)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-4, name=f"bn{layer}")(x)
        x = layers.ReLU(name=f"relu{layer}")(x)
    noise = _faint(image_shape[-1], 3, f"conv{depth}")(x)
    return keras.Model(inputs, _without(inputs, noise), name=f"dncnn{depth}")


def dncnn_b(image_shape: tuple = (None, None, 1), width: int = 64) -> keras.Model:
    """DnCNN-B, for noise of unknown strength: 20 layers, 0.67 M parameters.

    Arguments, result and source as for `dncnn_s`.
    """
    return dncnn_s(image_shape, 20, width)


def dncnn_small(
    image_shape: tuple = (None, None, 1), depth: int = 7, width: int = 32
) -> keras.Model:
    """DnCNN for a first run on a processor: 7 layers of 32 channels.

    Arguments, result and source as for `dncnn_s`.
    """
    return dncnn_s(image_shape, depth, width)


def unet(
    image_shape: tuple = (None, None, 1), width: int = 32, levels: int = 4
) -> keras.Model:
    """A U-Net that predicts the noise.

    Two convolutions per level, a pooling by 2 on the way down, a transposed
    convolution on the way up, leaky ReLUs: the form of Chen et al. Grey: 3.01 G
    multiply-accumulates at 128x128 (3.41 G where transposed convolutions are counted
    at every pixel they make, as in arXiv:2003.13683), 7.76 M parameters.

    Args:
        image_shape: `(height, width, channels)`; sizes are multiples of `2**levels`,
            or None.
        width: channels of the first level; each further one has twice as many.
        levels: how often the image is halved.

    Returns:
        A functional model from noisy to clean pixels.

    Reference: Ronneberger et al., U-Net, MICCAI 2015, arXiv:1505.04597; Chen et al.,
    Learning to See in the Dark, CVPR 2018, arXiv:1805.01934.
    """
    inputs, x = _rescaled(image_shape)
    x = u_shape(x, width, levels, _pair)
    noise = _faint(image_shape[-1], 1, "noise")(x)
    return keras.Model(inputs, _without(inputs, noise), name="unet")


def _rescaled(image_shape):
    inputs = layers.Input(shape=image_shape, name="image")
    return inputs, layers.Rescaling(1 / 255, name="rescale")(inputs)


def _without(inputs, noise):
    noise = layers.Rescaling(255.0, name="noise_pixels")(noise)
    return layers.Subtract(dtype="float32", name="pixels")([inputs, noise])


def _faint(filters, kernel_size, name):
    """The last layer starts near to "no noise", but lets gradients through."""
    start = keras.initializers.VarianceScaling(0.01, "fan_in")
    return layers.Conv2D(
        filters, kernel_size, padding="same", kernel_initializer=start, name=name
    )


def _conv(x, filters, name, use_bias=True):
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _pair(x, filters, name):
    for turn in (1, 2):
        x = _conv(x, filters, f"{name}_conv{turn}")
        x = layers.LeakyReLU(negative_slope=0.2, name=f"{name}_relu{turn}")(x)
    return x
