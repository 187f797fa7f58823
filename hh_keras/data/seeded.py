"""Batches that are functions of a seed and of their number.

Nothing is remembered between batches: a training that was interrupted goes on with the
batches it would have had.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


def own_seed(seed: int, number: int) -> int:
    """The seed of one epoch, of 31 bits; numbers below 0 are for what is no epoch."""
    return int(np.random.SeedSequence([seed, number + 2]).generate_state(1)[0] >> 1)


def numbered(own: int, first: int, steps: int) -> tf.data.Dataset:
    """A dataset of `(own seed, step)`, from step `first` on."""
    return tf.data.Dataset.range(first, steps).map(
        lambda step: (tf.constant(own), step)
    )


def anew(seed: int, steps: int) -> tf.data.Dataset:
    """The same with another own seed in every iteration."""
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).take(1)
    every = seeds.flat_map(
        lambda n: tf.data.Dataset.range(steps).map(
            lambda step: (tf.cast(n // 2, tf.int32), step)
        )
    )
    return every.apply(tf.data.experimental.assert_cardinality(steps))


def called(function: Callable, seeds: tf.data.Dataset, gives: Any) -> tf.data.Dataset:
    """Maps a Python function over a dataset, in several threads and in order.

    Args:
        function: of the arrays of one element; returns a flat list of arrays.
        seeds: the dataset.
        gives: `tf.TensorSpec`s of what it returns, in the structure wanted.
    """
    specs = tf.nest.flatten(gives)

    def call(*arguments):
        kinds = [spec.dtype for spec in specs]
        arrays = tf.numpy_function(function, arguments, kinds, False)
        shaped = [tf.ensure_shape(x, s.shape) for x, s in zip(arrays, specs)]
        return tf.nest.pack_sequence_as(gives, shaped)

    return seeds.map(call, tf.data.AUTOTUNE, deterministic=True)
