"""Networks that enlarge images: SRResNet and EDSR.

They take RGB or grey images of any size, float32 pixels 0 to 255, and return pixels of
the same range; the scaling is part of the graph.
"""

import keras
from keras import layers

from hh_keras.errors import ModelError
from hh_keras.models.shuffling import depth_to_space

_MEAN = (114.4440, 111.4605, 103.0200)  # of DIV2K, RGB 0..255, as in the EDSR code
SCALES = (2, 3, 4)


def edsr(
    image_shape: tuple = (None, None, 3),
    scale: int = 2,
    blocks: int = 16,
    width: int = 64,
    residual_scale: float = 1.0,
) -> keras.Model:
    """EDSR, by default the baseline: 16 residual blocks of 64 channels.

    Multiply-accumulates for a result of 1280x720, and parameters: x2 316.3 G and
    1.37 M, x3 160.2 G and 1.55 M, x4 114.0 G and 1.52 M.

    Args:
        image_shape: `(height, width, channels)` of the small image; sizes may be None.
        scale: 2, 3 or 4.
        blocks: residual blocks.
        width: channels.
        residual_scale: factor of what a block adds; 0.1 steadies wide networks.

    Returns:
        A functional model from pixels to pixels, `scale` times as high and wide.

    Raises:
        ModelError: a scale that the network is not made for.

    Reference: Lim et al., Enhanced Deep Residual Networks, CVPRW 2017,
    arXiv:1707.02921.
    """
    inputs, x = _centred(image_shape)
    x = skip = _conv(x, width, 3, "head")
    for block in range(1, blocks + 1):
        x = _plain_block(x, width, residual_scale, f"block{block}")
    x = layers.Add(name="long_skip")([_conv(x, width, 3, "body_end"), skip])
    for step, factor in enumerate(_factors(scale), start=1):
        x = _conv(x, factor**2 * width, 3, f"up{step}_conv")
        x = depth_to_space(x, factor)
    x = _conv(x, image_shape[-1], 3, "tail")
    return keras.Model(inputs, _uncentred(x), name=f"edsr_x{scale}")


def edsr_large(image_shape: tuple = (None, None, 3), scale: int = 2) -> keras.Model:
    """The large EDSR: 32 blocks of 256 channels, residual scaling 0.1.

    Parameters: 40.7 M for x2, 43.7 M for x3, 43.1 M for x4 (Table 1 of the paper says
    43 M). Arguments, result and source as for `edsr`.
    """
    return edsr(image_shape, scale, blocks=32, width=256, residual_scale=0.1)


def edsr_small(
    image_shape: tuple = (None, None, 3),
    scale: int = 2,
    blocks: int = 4,
    width: int = 24,
) -> keras.Model:
    """EDSR for a first run on a processor: 4 blocks of 24 channels.

    Arguments, result and source as for `edsr`.
    """
    return edsr(image_shape, scale, blocks, width)


def srresnet(
    image_shape: tuple = (None, None, 3),
    scale: int = 4,
    blocks: int = 16,
    width: int = 64,
) -> keras.Model:
    """SRResNet: 16 residual blocks of 64 channels with batch normalisation.

    For x4 and a result of 1280x720: 127.8 G multiply-accumulates, 1.54 M parameters.
    Arguments, result and errors as for `edsr`.

    Reference: Ledig et al., Photo-Realistic Single Image Super-Resolution, CVPR 2017,
    arXiv:1609.04802.
    """
    inputs = layers.Input(shape=image_shape, name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)
    x = skip = _prelu(_conv(x, width, 9, "head"), "head")
    for block in range(1, blocks + 1):
        x = _normalised_block(x, width, f"block{block}")
    x = _conv_bn(x, width, "body_end")
    x = layers.Add(name="long_skip")([x, skip])
    for step, factor in enumerate(_factors(scale), start=1):
        x = _conv(x, factor**2 * width, 3, f"up{step}_conv")
        x = depth_to_space(x, factor)
        x = _prelu(x, f"up{step}")
    x = _conv(x, image_shape[-1], 9, "tail")
    outputs = layers.Rescaling(127.5, offset=127.5, dtype="float32", name="pixels")(x)
    return keras.Model(inputs, outputs, name=f"srresnet_x{scale}")


def _factors(scale):
    if scale not in SCALES:
        raise ModelError(
            f"scale is {scale!r}; the networks are made for 2, 3 and 4. Choose one."
        )
    return (2, 2) if scale == 4 else (scale,)


def _conv(x, filters, kernel_size, name, use_bias=True):
    return layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=use_bias,
        # Blocks add up: the usual initialisers let sums of many of them explode.
        kernel_initializer=keras.initializers.VarianceScaling(1 / 3, "fan_in"),
        name=name,
    )(x)


def _conv_bn(x, filters, name):
    x = _conv(x, filters, 3, name, use_bias=False)
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)


def _prelu(x, name):
    slopes = keras.initializers.Constant(0.25)
    return layers.PReLU(slopes, shared_axes=[1, 2], name=f"{name}_prelu")(x)


def _plain_block(x, width, residual_scale, name):
    y = _conv(x, width, 3, f"{name}_conv1")
    y = layers.ReLU(name=f"{name}_relu")(y)
    y = _conv(y, width, 3, f"{name}_conv2")
    if residual_scale != 1:
        y = layers.Rescaling(residual_scale, name=f"{name}_scale")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _normalised_block(x, width, name):
    y = _prelu(_conv_bn(x, width, f"{name}_conv1"), name)
    y = _conv_bn(y, width, f"{name}_conv2")
    return layers.Add(name=f"{name}_add")([x, y])


def _centred(image_shape):
    """An input of pixels, less their mean, in units of the full range."""
    inputs = layers.Input(shape=image_shape, name="image")
    offset = [-mean / 255 for mean in _means(image_shape[-1])]
    return inputs, layers.Rescaling(1 / 255, offset, name="rescale")(inputs)


def _uncentred(x):
    means = _means(x.shape[-1])
    return layers.Rescaling(255.0, means, dtype="float32", name="pixels")(x)


def _means(channels):
    return list(_MEAN) if channels == 3 else [sum(_MEAN) / 3] * channels
