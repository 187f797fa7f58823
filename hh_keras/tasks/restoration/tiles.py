"""Exported networks that restore images run over tiles.

A `.tflite` file takes tiles of one size, a SavedModel whole images.
"""

import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from hh_keras import export as exporting
from hh_keras.errors import ModelError
from hh_keras.graph.reach import reach
from hh_keras.tasks.restoration.tiling import restorer, size_multiple

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
    multiple, overlap = size_multiple(model), _overlap(model)
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


def _overlap(model):
    try:
        return reach(model).overlap
    except ModelError:
        return 0


def cut(dataset: tf.data.Dataset, size: int, count: int) -> np.ndarray:
    """The first tiles of degraded images, smaller ones continued by mirroring.

    Args:
        dataset: batches of (degraded, clean).
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
        dataset: batches of (degraded, clean) patches.
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


def runner(path: Path | str, model: keras.Model | None = None) -> Callable:
    """An exported file as `f(image) → image`, float32 `(h, w, c)`.

    Args:
        path: of a `.tflite` file or a SavedModel.
        model: the Keras model it came from; None believes the file's sidecar.

    Raises:
        ModelError: it is not known how far the file's network sees.
    """
    run = exporting.open_model(path)
    if not str(path).endswith(".tflite"):
        return lambda image: run([image[None]])[0][0]
    height, width, channels = exporting.input_shape(path)
    seen = exporting.tiles_of(path) if model is None else _seen(model)
    if seen is None or height != width:
        raise ModelError(
            f"{path} does not tell how its tiles overlap: its .json is missing or of "
            "another file. Evaluate the .keras file that it was made from."
        )
    return restorer(
        lambda x: run([x])[0], height, seen["overlap"], channels, seen["multiple"]
    )


def _seen(model):
    return {"overlap": _overlap(model), "multiple": size_multiple(model)}
