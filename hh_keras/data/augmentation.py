"""Random changes to training images, a whole batch at a time."""

from __future__ import annotations

import tensorflow as tf

AUGMENTATIONS = ("none", "crop_flip", "flip", "imagenet")
"""Names of what `load` does to training images.

Examples:
    >>> hh_keras.data.AUGMENTATIONS
    ('none', 'crop_flip', 'flip', 'imagenet')
"""
"""Names that `load` takes as `augment`.

`crop_flip` is the usual one for small photographs (He et al., arXiv:1512.03385, section
4.2): pad by 4 black pixels, cut out at random, mirror every second image. `imagenet`
cuts out a random box of 8 to 100 % of the area (see `hh_keras.data.views.random_cut`),
which is done when an image is decoded.
"""

_PADDING = 4


def augment_images(images: tf.Tensor, seed: tf.Tensor, name: str) -> tf.Tensor:
    """Applies one of `AUGMENTATIONS`.

    Args:
        images: Shape `(batch, height, width, channels)`.
        seed: Two integers; the same seed gives the same result.
        name: One of `AUGMENTATIONS`.

    Returns:
        Images of the same shape and dtype.
    """
    if name in ("none", "imagenet"):
        return images
    crop_seed, flip_seed = tf.unstack(tf.random.split(seed, 2))
    if name == "crop_flip":
        images = _random_crop(images, crop_seed)
    return _random_flip(images, flip_seed)


def _random_crop(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    height, width = images.shape[1:3]
    padding = (_PADDING, _PADDING)
    padded = tf.pad(images, ((0, 0), padding, padding, (0, 0)))
    corners = tf.random.stateless_uniform(
        (tf.shape(images)[0], 2), seed, 0, 2 * _PADDING + 1, tf.int32
    )
    rows = corners[:, :1] + tf.range(height)
    columns = corners[:, 1:] + tf.range(width)
    cropped = tf.gather(padded, rows, axis=1, batch_dims=1)
    cropped = tf.gather(cropped, columns, axis=2, batch_dims=1)
    return tf.ensure_shape(cropped, images.shape)


def _random_flip(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    coins = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), seed)
    return tf.where(coins < 0.5, tf.reverse(images, [2]), images)
