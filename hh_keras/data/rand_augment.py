"""RandAugment with the operations of keras-cv (Cubuk et al., arXiv:1909.13719).

Which operation an image gets, and how strong, is drawn here: keras-cv draws from
generators that cannot be set back, and a training that was interrupted could not see
the same images again. Strengths are distributed as in `keras_cv.layers.RandAugment`.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from hh_keras.errors import DataError

_SPREAD = 0.15  # standard deviation of the strengths
_BRIGHT = 255.0


def rand_augment(
    channels: int, count: int, magnitude: float
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a function that gives every image `count` random operations.

    Args:
        channels: 3; or 1, without the operations that need colours.
        count: operations per image, one after the other.
        magnitude: their strength, 0 to 1.

    Returns:
        `f(images, seed)` of float32 images 0..255 `(batch, height, width, channels)`
        and two integers.

    Raises:
        DataError: keras-cv is not installed.
    """
    operations = _operations(channels)

    def augment(images, seed):
        shape = images.shape
        for own in tf.unstack(tf.random.split(seed, count)):
            images = _one_each(operations, images, own, magnitude)
        return tf.ensure_shape(images, shape)

    return augment


def _one_each(operations, images, seed, magnitude):
    """Sorts a batch by the operation drawn, applies each, and puts it together."""
    size = tf.shape(images)[0]
    which, how, way = tf.unstack(tf.random.split(seed, 3))
    drawn = tf.random.stateless_uniform((size,), which, 0, len(operations), tf.int32)
    strength = tf.random.stateless_normal((size, 1), how, magnitude, _SPREAD)
    strength = tf.clip_by_value(strength, 0.0, 1.0)
    sign = tf.random.stateless_uniform((size, 1), way, -1.0, 1.0)
    parts = [
        tf.dynamic_partition(x, drawn, len(operations))
        for x in (tf.range(size), images, strength, sign)
    ]
    done = [
        tf.cond(
            tf.shape(part)[0] > 0,
            # Bound as defaults: the loop goes on.
            lambda f=operation, x=part, m=strong, s=signed: f(x, m, s),
            lambda x=part: x,
        )
        for operation, _, part, strong, signed in zip(operations, *parts)
    ]
    return tf.dynamic_stitch(parts[0], done)


def _operations(channels):
    """Functions of images, strengths (0..1) and draws (-1..1), both `(batch, 1)`."""
    try:
        from keras_cv import layers
    except ImportError as error:
        raise DataError(
            "rand_augment needs keras-cv: pip install 'hh_keras[cv]', or leave it at 0."
        ) from error
    pixels = (0, 255)
    contrast = layers.AutoContrast(pixels)
    solarization = layers.Solarization(pixels)
    strong = layers.RandomContrast(pixels, 0.5)
    bright = layers.RandomBrightness(0.5, pixels)
    shear = layers.RandomShear(0.5, 0.5)
    shift = layers.RandomTranslation(0.5, 0.5)

    def solarize(x, m, s):
        m = m[..., None, None]
        changes = {"additions": 110 * m, "thresholds": _BRIGHT * (1 - m)}
        return solarization.augment_images(x, changes)

    def sheared(x, m, s, axis):
        changes = {"shear_x": None, "shear_y": None, axis: m * tf.sign(s)}
        return shear.augment_images(x, changes)

    def shifted(x, m, s, axis):
        still = tf.zeros_like(m)
        changes = {"height_translations": still, "width_translations": still}
        return shift.augment_images(x, {**changes, axis: m * s})

    found = [
        lambda x, m, s: contrast.augment_images(x),
        solarize,
        lambda x, m, s: strong.augment_images(x, 1 + (m * s)[..., None, None]),
        lambda x, m, s: bright.augment_images(x, _BRIGHT * (m * s)[..., None, None]),
        lambda x, m, s: sheared(x, m, s, "shear_x"),
        lambda x, m, s: sheared(x, m, s, "shear_y"),
        lambda x, m, s: shifted(x, m, s, "width_translations"),
        lambda x, m, s: shifted(x, m, s, "height_translations"),
    ]
    if channels == 3:
        equal, pale = layers.Equalization(pixels), layers.RandomColorDegeneration(0.5)
        found += [
            lambda x, m, s: equal.augment_images(x),
            lambda x, m, s: pale.augment_images(x, m[..., None, None]),
        ]
    return found
