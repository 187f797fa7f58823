"""Tiles of one size, as `.tflite` files of networks from images to images take them."""

import math

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.graph.reach import reach
from hh_keras.tasks.tiling import size_multiple

_SIDE = 128


def side(model: keras.Model, wanted: int | None = None) -> int:
    """The side of a network's tiles.

    Args:
        model: the Keras model.
        wanted: what was asked for; None chooses one that the network's reach does not
            eat up.

    Raises:
        ModelError: the network does not take tiles so small.
    """
    multiple, overlap = size_multiple(model), overlap_of(model)
    margin = math.ceil(overlap / multiple) * multiple
    least = 2 * margin + multiple
    if wanted is None:
        return math.ceil(max(_SIDE, 4 * overlap) / multiple) * multiple
    if wanted < least or wanted % multiple:
        raise ModelError(
            f"--tile={wanted}: model '{model.name}' sees {overlap} pixels far, in "
            f"multiples of {multiple}; choose {least} at least, better {4 * margin}."
        )
    return wanted


def overlap_of(model: keras.Model) -> int:
    """Pixels by which a network's tiles overlap on each side; 0 if not known."""
    try:
        return reach(model).overlap
    except ModelError:
        return 0


def cut(dataset: tf.data.Dataset, size: int, count: int) -> np.ndarray:
    """The first tiles of images, smaller ones continued by mirroring.

    Args:
        dataset: batches of (images, labels).
        size: the tiles' side.
        count: how many at most.

    Returns:
        float32 `(n, size, size, channels)`.
    """
    found = []
    for images, _ in dataset.as_numpy_iterator():
        for image in images:
            found += _tiles(image, size)
            if len(found) >= count:
                return np.stack(found[:count])
    return np.stack(found)


def _tiles(image, size):
    missing = [(0, max(0, size - n)) for n in image.shape[:2]]
    image = np.pad(image, [*missing, (0, 0)], "symmetric")
    starts = [range(0, n - size + 1, size) for n in image.shape[:2]]
    return [image[y : y + size, x : x + size] for y in starts[0] for x in starts[1]]


def patched(dataset: tf.data.Dataset, size: int, count: int) -> np.ndarray:
    """Tiles laid out with patches, which may be smaller or larger than they.

    Args:
        dataset: batches of (patches, labels).
        size: the tiles' side.
        count: how many patches at least, as far as there are.

    Returns:
        float32 `(n, size, size, channels)`.
    """
    found, left = [], count
    for images, _ in dataset.as_numpy_iterator():
        found.append(images)
        left -= len(images)
        if left <= 0:
            break
    patches = np.concatenate(found)
    patch, side = patches.shape[1], math.ceil(size / patches.shape[1])
    patches = np.resize(
        patches, (math.ceil(len(patches) / side**2), side, side, *patches.shape[1:])
    )
    laid = patches.swapaxes(2, 3).reshape(
        -1, side * patch, side * patch, patches.shape[-1]
    )
    return laid[:, :size, :size]
