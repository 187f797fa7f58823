"""Images mixed with others of their batch, and their labels with them.

keras-cv has these layers too, but draws from generators that cannot be set back: a
training that was interrupted could not see the same images again.
"""

from __future__ import annotations

import tensorflow as tf


def mix(
    images: tf.Tensor, shares: tf.Tensor, seed: tf.Tensor, mixup: float, cutmix: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies MixUp or CutMix; if both are wanted, each batch draws one.

    Args:
        images: float32 `(batch, height, width, channels)`.
        shares: float32 `(batch, classes)`, of the classes in each image.
        seed: two integers; the same give the same result.
        mixup, cutmix: their alphas; 0 for none.

    Returns:
        Images and shares of the same shapes.

    Reference: Zhang et al., arXiv:1710.09412; Yun et al., arXiv:1905.04899.
    """
    coin, order, own = tf.unstack(tf.random.split(seed, 3))
    partners = tf.argsort(tf.random.stateless_uniform(tf.shape(images)[:1], order))
    if not cutmix:
        return _mixup(images, shares, partners, own, mixup)
    if not mixup:
        return _cutmix(images, shares, partners, own, cutmix)
    return tf.cond(
        tf.random.stateless_uniform((), coin) < 0.5,
        lambda: _mixup(images, shares, partners, own, mixup),
        lambda: _cutmix(images, shares, partners, own, cutmix),
    )


def _mixup(images, shares, partners, seed, alpha):
    part = _beta(tf.shape(images)[0], seed, alpha)
    mixed = _blend(images, tf.gather(images, partners), part[:, None, None, None])
    return mixed, _blend(shares, tf.gather(shares, partners), part[:, None])


def _cutmix(images, shares, partners, seed, alpha):
    count, height, width = tf.unstack(tf.shape(images)[:3])
    area_seed, place_seed = tf.unstack(tf.random.split(seed, 2))
    side = tf.sqrt(1 - _beta(count, area_seed, alpha))
    places = tf.random.stateless_uniform((2, count), place_seed)
    rows = _within(places[0], side, height)
    columns = _within(places[1], side, width)
    pasted = (rows[:, :, None] & columns[:, None, :])[..., None]
    mixed = tf.where(pasted, tf.gather(images, partners), images)
    kept = 1 - tf.reduce_mean(tf.cast(pasted, tf.float32), [1, 2, 3])
    return mixed, _blend(shares, tf.gather(shares, partners), kept[:, None])


def _within(place, side, size):
    """Which of `size` pixels lie around a place, bool `(batch, size)`."""
    pixels = tf.range(size, dtype=tf.float32)[None] + 0.5
    distance = tf.abs(pixels - (place * tf.cast(size, tf.float32))[:, None])
    return distance < (side * tf.cast(size, tf.float32) / 2)[:, None]


def _beta(count, seed, alpha):
    """Draws from Beta(alpha, alpha), float32 `(count,)`."""
    draws = tf.random.stateless_gamma((2, count), seed, alpha)
    # Both may be so small that they are 0.
    return (draws[0] + 1e-30) / (draws[0] + draws[1] + 2e-30)


def _blend(one, other, part):
    return part * one + (1 - part) * other
