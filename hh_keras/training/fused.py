"""BatchNormalization trained by TensorFlow's fused operation.

Keras takes mean and variance of a batch and normalises by them in ten operations that
each go over all of it; the fused one goes over it three times, and so do its slopes.
Not where XLA compiles: its version takes the variance as E[x²] - E[x]², which loses all
digits where the mean is far from 0, and fuses Keras' ten operations itself.
"""

import functools
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

_LAYER = keras.layers.BatchNormalization
_LEAST = 1.001e-5  # what the operation makes of a smaller epsilon


def fused_statistics(layers: Iterable) -> list:
    """The changes by which images are normalised so while they are trained.

    Layers with another axis, renormalisation or an epsilon that the operation does not
    take keep Keras' own way; so do calls with a mask, and batches that replicas share.

    Args:
        layers: of a model, all of them.

    Returns:
        List of changes for `hh_keras.training.layerwise.changed`.
    """
    return [
        (layer, "call", functools.partial(_call, layer))
        for layer in layers
        if _is_plain(layer)
    ]


def _is_plain(layer):
    # A subclass may take its statistics in its own way.
    if type(layer) is not _LAYER or "call" in vars(layer):
        return False
    renorm = getattr(layer, "renorm", False)  # Keras 3.12 has none
    return not renorm and layer.epsilon >= _LEAST


def _call(
    layer: Any, inputs: Any, training: bool | None = None, mask: Any = None
) -> Any:
    """As `keras.layers.BatchNormalization.call`."""
    images = len(inputs.shape) == 4 and layer.axis in (-1, 3)
    alone = mask is None and not layer.synchronized
    if not (training and layer.trainable and images and alone):
        return _LAYER.call(layer, inputs, training, mask)
    dtype = keras.backend.result_type(inputs.dtype, "float32")
    if dtype != "float32":
        return _LAYER.call(layer, inputs, training, mask)
    x = keras.ops.cast(inputs, dtype)
    channels = x.shape[-1]
    gamma = keras.ops.cast(layer.gamma, dtype) if layer.scale else tf.ones(channels)
    beta = keras.ops.cast(layer.beta, dtype) if layer.center else tf.zeros(channels)
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, gamma, beta, epsilon=layer.epsilon, is_training=True
    )
    # The operation's variance is unbiased (n - 1), Keras' divides by n.
    count = tf.cast(tf.size(x) // channels, dtype)
    variance *= (count - 1) / count
    for moving, value in (
        (layer.moving_mean, mean),
        (layer.moving_variance, variance),
    ):
        before = keras.ops.cast(moving, dtype)
        moving.assign(before * layer.momentum + value * (1.0 - layer.momentum))
    return keras.ops.cast(y, layer.compute_dtype)
