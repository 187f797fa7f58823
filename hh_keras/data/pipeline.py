"""From the records of a split to batches of pixels: held in memory, or streamed."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from hh_keras.data.augmentation import augment_images
from hh_keras.data.decoding import decode_image, unreadable
from hh_keras.data.source import Split, check_label
from hh_keras.errors import DataError

Batches = Callable[[int, "int | None", bool, int], tf.data.Dataset]
"""`batches(size, seed, reshuffle, first)` gives a `tf.data.Dataset` of uint8 images of
shape `(batch, height, width, channels)` and int32 labels of shape `(batch,)`. Stored
order if `seed` is None; else shuffled by it, anew in each iteration if `reshuffle`. The
batches before `first` are left out, and their images not decoded."""

_DECODED_AT_ONCE = 256


def stream(split: Split, image_shape: tuple, num_classes: int) -> Batches:
    """Decodes images whenever they are asked for.

    An image that cannot be decoded ends the iteration with a `tf.errors.OpError`,
    which `as_data_error` turns into one that names the image.

    Args:
        split: where the images are.
        image_shape: the `(height, width, channels)` to decode to.
        num_classes: labels must be below it.

    Returns:
        `Batches`.
    """

    def pixels(place, content, label):
        return _pixels(split, (place, content, label), image_shape, num_classes)

    def example(place, content, label):
        image = tf.numpy_function(pixels, [place, content, label], tf.uint8, False)
        return tf.ensure_shape(image, image_shape), tf.cast(label, tf.int32)

    def batches(size, seed, reshuffle, first=0):
        data = split.records(seed, reshuffle)
        if seed is not None:
            window = min(split.window, split.num)
            data = data.shuffle(window, seed, reshuffle_each_iteration=reshuffle)
        data = data.skip(first * size)
        data = data.map(example, tf.data.AUTOTUNE, deterministic=True)
        return data.batch(size)

    return batches


def hold(split: Split, image_shape: tuple, num_classes: int) -> Batches:
    """Decodes all images once, now, and keeps their pixels in memory.

    Args:
        split, image_shape, num_classes: as for `stream`.

    Returns:
        `Batches`.

    Raises:
        DataError: an image cannot be decoded, or a label is out of range.
    """
    images = np.empty((split.num, *image_shape), np.uint8)
    labels = np.empty(split.num, np.int32)

    def place_pixels(record, position):
        images[position] = _pixels(split, record, image_shape, num_classes)
        labels[position] = record[-1]

    chunks = split.records(None, False).batch(_DECODED_AT_ONCE).prefetch(2)
    position = itertools.count()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for chunk in chunks.as_numpy_iterator():
                # Going through the results is what raises the workers' errors.
                for _ in pool.map(place_pixels, zip(*chunk), position):
                    pass
        except tf.errors.OpError as error:
            raise as_data_error(error) or error from error
    with tf.device("CPU:0"):
        images, labels = tf.constant(images), tf.constant(labels)

    def batches(size, seed, reshuffle, first=0):
        # Whole batches are gathered: faster than single images, and shuffling holds
        # no second copy of them.
        order = tf.data.Dataset.range(split.num)
        if seed is not None:
            order = order.shuffle(split.num, seed, reshuffle_each_iteration=reshuffle)
        return order.skip(first * size).batch(size).map(
            lambda chosen: (tf.gather(images, chosen), tf.gather(labels, chosen)),
            tf.data.AUTOTUNE,
            deterministic=True,
        )

    return batches


def _pixels(split: Split, record: tuple, image_shape: tuple, num_classes: int):
    """Decodes one record to uint8 of `image_shape`; a DataError names a bad one."""
    place, content, label = record
    check_label(place, label, num_classes)
    try:
        return decode_image(split.read(content), image_shape)
    except (OSError, ValueError) as error:
        raise unreadable(place, error) from error


def ready(
    data: tf.data.Dataset, augment: str, seeds: tf.data.Dataset | None = None
) -> tf.data.Dataset:
    """Makes batches fit to train on: augmented, float32, prefetched.

    Args:
        data: what `Batches` gave.
        augment: one of `AUGMENTATIONS`.
        seeds: two int32 for the augmentation of each batch, shape `(2,)`.

    Returns:
        A `tf.data.Dataset` of (float32 images 0..255, int32 labels) that several
        workers share example by example.
    """
    if augment != "none":
        data = tf.data.Dataset.zip(data, seeds).map(
            lambda xy, seed: (augment_images(xy[0], seed, augment), xy[1]),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    data = data.map(lambda x, y: (tf.cast(x, tf.float32), y))
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    return data.with_options(options).prefetch(tf.data.AUTOTUNE)


def new_seeds(seed: int) -> tf.data.Dataset:
    """Seeds for `ready` that differ from one iteration to the next."""
    numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    return numbers.map(lambda n: tf.cast(tf.stack([n, n + 1]), tf.int32))


def step_seeds(seed: int, first: int) -> tf.data.Dataset:
    """Seeds for `ready` that belong to the steps of one epoch, from `first` on."""
    steps = tf.data.Dataset.range(first, np.iinfo(np.int32).max)
    return steps.map(lambda step: tf.stack([seed, tf.cast(step, tf.int32)]))


def as_data_error(error: Exception) -> DataError | None:
    """Finds out whether bad data are what stopped a pipeline.

    Large sets are decoded while a network trains, so TensorFlow reports a damaged
    image, in its own many lines. This finds the one that names the file.

    Args:
        error: what `fit`, or a loop over batches, raised.

    Returns:
        A `DataError` to raise or print instead; None if the data are not to blame.
    """
    if not isinstance(error, tf.errors.OpError):
        return None
    raised = re.search(rf"\b{DataError.__name__}: ([^\n]+)", error.message)
    if raised:
        return DataError(raised[1].strip())
    if isinstance(error, tf.errors.DataLossError):
        text = error.message.splitlines()[0][:200]
        return DataError(
            f"a file of the data set is damaged ({text}). Prepare the data set again."
        )
    return None
