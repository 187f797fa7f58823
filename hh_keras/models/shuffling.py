"""Depth to space: the step that turns channels into pixels."""

import keras
from keras import layers, ops

from hh_keras.errors import ModelError


def depth_to_space(x: keras.KerasTensor, scale: int) -> keras.KerasTensor:
    """Turns scale² runs of channels into scale × scale pixels.

    Where Keras has the operation (3.14 and later) it works at any size, and TFLite
    converts it to its own DEPTH_TO_SPACE. Before that, layers that rearrange say the
    same for images of a known size.

    Args:
        x: tensor `(batch, height, width, scale² · channels)`.
        scale: how many times larger the result is, at least 2.

    Returns:
        A tensor `(batch, scale · height, scale · width, channels)`.

    Raises:
        ModelError: this Keras can shuffle only images of a known size.

    Reference: Shi et al., CVPR 2016, arXiv:1609.05158.
    """
    if hasattr(ops, "depth_to_space"):
        return ops.depth_to_space(x, scale)
    return _rearranged(x, scale)


def _rearranged(x, scale):
    height, width, depth = x.shape[1:]
    if height is None or width is None:
        raise ModelError(
            f"Keras {keras.__version__} cannot enlarge images of unknown size; give "
            "an image_shape, or take Keras 3.14 or later (Python 3.11 or later)."
        )
    channels = depth // scale**2
    x = layers.Reshape((height, width, scale, scale, channels))(x)
    x = layers.Permute((1, 3, 2, 4, 5))(x)
    return layers.Reshape((scale * height, scale * width, channels))(x)
