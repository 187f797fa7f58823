"""Masks of images of any size: whole, or in tiles that overlap."""

import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from hh_keras import export as exporting
from hh_keras.errors import HHError, ModelError
from hh_keras.graph.reach import Reach, reach
from hh_keras.tasks.tiling import in_tiles, runner, tile_side

_MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128)
_WHOLE = 2**20  # a tile that any image fits into


def outputs_of(
    model: keras.Model | Callable | str | Path, tile: int | None = None
) -> Callable:
    """Returns a function that gives every pixel of an image its outputs.

    Args:
        model: a Keras model of images of any size; it sees tiles that overlap as far
            as it sees, which give what the whole image gives, or, if it sees all of an
            image, the whole. Or a SavedModel's path, whose network sees the whole. Or
            a `.tflite` file's, which sees tiles of its own size; their overlap is a
            quarter of that at most, and what is further away is not seen. Functions of
            an image are returned.
        tile: side of a Keras model's tiles; None chooses one.

    Returns:
        `f(image) → (h, w, classes)`, float32; images are `(h, w, channels)`, 0 to 255.

    Raises:
        ModelError: the file cannot be run.
    """
    if isinstance(model, keras.Model):
        run, seen = runner(model), seen_by(model)
        side = _WHOLE if seen.overlap == _WHOLE else tile_side(tile, seen)
        return lambda image: in_tiles(run, image, side, False, seen, _as_is)
    if callable(model):
        return model
    opened = exporting.open_model(model)

    def call(x):
        return np.asarray(opened([x])[0])

    if str(model).endswith(".tflite"):
        seen, side = tiles_of(model)
        return lambda image: in_tiles(call, image, side, True, seen, _as_is)
    channels = exporting.input_shape(model)[-1]

    def shape_at(*size):
        return call(np.zeros((1, *size, channels), np.float32)).shape

    found = Reach(_WHOLE, _multiple(shape_at, model), 1)
    return lambda image: in_tiles(call, image, _WHOLE, False, found, _as_is)


def _as_is(values):
    return values


def segment(
    model: keras.Model | Callable | str | Path,
    image: np.ndarray,
    tile: int | None = None,
) -> np.ndarray:
    """The class of every pixel of an image, of any size.

    Args:
        model, tile: as for `outputs_of`, or what it returned.
        image: uint8 or float `(h, w, channels)`, 0 to 255, as the network takes it.

    Returns:
        uint8 `(h, w)`.
    """
    return outputs_of(model, tile)(image).argmax(-1).astype(np.uint8)


def seen_by(model: keras.Model) -> Reach:
    """How far a network sees; an overlap of 2**20 if it may be all of an image.

    Raises:
        ModelError: its outputs are no larger or smaller than its images at no multiple
            that is usual.
    """
    try:
        return reach(model)
    except ModelError:
        return Reach(_WHOLE, size_multiple(model), 1)


def size_multiple(model: keras.Model) -> int:
    """What the sides of a network's images must be multiples of.

    Where the graph does not tell, sizes are tried.

    Raises:
        ModelError: none of them fits.
    """
    try:
        return reach(model).multiple
    except ModelError:
        channels = model.inputs[0].shape[-1]
        return _multiple(
            lambda *size: model.compute_output_shape((1, *size, channels)), model.name
        )


def _multiple(shape_at, name):
    """The least power of two whose multiples a network takes and gives back."""
    for n in _MULTIPLES:
        # Odd multiples: what takes these takes all.
        sizes = ((3 * n, 5 * n), (5 * n, 7 * n))
        if all(_keeps(shape_at, size) for size in sizes):
            return n
    raise ModelError(
        f"'{name}' does not give as many pixels as it takes, whether its sides are "
        f"multiples of {', '.join(map(str, _MULTIPLES[:-1]))} or {_MULTIPLES[-1]}: "
        "build it so that its outputs are as high and wide as its images."
    )


def _keeps(shape_at, size):
    try:
        return tuple(shape_at(*size))[1:3] == size
    except (ValueError, TypeError, HHError, tf.errors.OpError):
        return False


def tiles_of(path: str | Path) -> tuple[Reach, int]:
    """How a `.tflite` file's tiles overlap, and their side.

    Raises:
        ModelError: it does not take square images.
    """
    shape = exporting.input_shape(path)
    if len(shape) != 3 or shape[0] != shape[1]:
        raise ModelError(f"{path} takes {shape}; tiles are square images.")
    side = shape[0]
    told = exporting.tiles_of(path) or {"overlap": side, "multiple": 1}
    multiple = told["multiple"]
    most = side // 4 // multiple * multiple
    overlap = math.ceil(told["overlap"] / multiple) * multiple
    return Reach(min(overlap, most), multiple, 1), side
