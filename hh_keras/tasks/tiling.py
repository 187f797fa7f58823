"""Running networks over images of any size: in tiles that overlap."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import HHError, ModelError
from hh_keras.graph.reach import Reach, reach

_TILE = 512  # pixels of the result; a layer of 64 channels then takes 64 MiB


def size_multiple(model: keras.Model) -> int:
    """What the sides of a model's images must be multiples of; 1 if not known."""
    try:
        return reach(model).multiple
    except ModelError:
        return 1


def runner(model: keras.Model) -> Callable:
    """A model as a function of arrays `(1, h, w, c)`; it returns the first output."""
    # Of unknown size where the model's is: one trace serves all tiles.
    spec = tf.TensorSpec([1, *model.inputs[0].shape[1:]], tf.float32)
    forward = tf.function(lambda x: model(x, training=False), input_signature=[spec])
    return lambda x: keras.tree.flatten(forward(tf.constant(x)))[0].numpy()


def own_size(model: keras.Model) -> int | None:
    """The side of a model's images, or None if it takes any."""
    sides = model.inputs[0].shape[1:3]
    if None in sides:
        return None
    if sides[0] != sides[1]:
        raise ModelError(
            f"model '{model.name}' takes images of {sides[0]}x{sides[1]}; tiles are "
            "square. Build it for any size, (None, None, channels)."
        )
    return sides[0]


def seen_by(model: keras.Model, overlap: int | None = None) -> Reach:
    """How far a model sees, with another overlap if one is given.

    Raises:
        ModelError: it is not known how far, and no overlap is given.
    """
    if overlap is None:
        return reach(model)
    try:
        seen = reach(model)
    except HHError:
        seen = Reach(0, 1, None)
    return Reach(overlap, seen.multiple, seen.scale)


def tile_side(tile: int | None, seen: Reach) -> int:
    """The side of the tiles, a multiple; by default large beside the overlap."""
    if tile is None:
        tile = max(_TILE // (seen.scale or 1), 4 * seen.overlap)
        return math.ceil(tile / seen.multiple) * seen.multiple
    return max(tile // seen.multiple, 1) * seen.multiple


def in_tiles(
    run: Callable,
    image: np.ndarray,
    tile: int,
    fixed: bool,
    seen: Reach,
    kept: Callable,
    tell: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Runs over an image; tiles start at multiples, and reach over by the overlap.

    Args:
        run: function of float32 `(1, h, w, c)`, 0 to 255.
        image: `(h, w, c)`; beyond it, its border goes on.
        tile: their side.
        fixed: whether smaller images are filled up to a whole tile.
        seen: how far the network sees.
        kept: `f(float32 (h, w, outputs)) → (h, w, n)`: what is kept of an output.
        tell: called with the share that is done, after every tile.

    Returns:
        What was kept, put together, `scale` times as high and wide as the image.

    Raises:
        HHError: the tile is too small for the overlap.
    """
    sides = image.shape[:2]
    padded = [math.ceil(n / seen.multiple) * seen.multiple for n in sides]
    spans = [_spans(n, tile, fixed, seen) for n in padded]
    result: Any = None
    scale, done = seen.scale, 0
    for y in spans[0]:
        for x in spans[1]:
            out = run(_cut(image, y, x))[0]
            scale = scale or out.shape[0] // (y[1] - y[0])
            if result is None:
                new = kept(out[:1, :1])
                shape = (*(n * scale for n in padded), new.shape[-1])
                result = np.empty(shape, new.dtype)
            inner = _inner(y, scale), _inner(x, scale)
            place = tuple(slice(s[2] * scale, s[3] * scale) for s in (y, x))
            result[place] = kept(out[inner])
            done += 1
            if tell:
                tell(done / (len(spans[0]) * len(spans[1])))
    return result[: sides[0] * scale, : sides[1] * scale]


def _spans(size, tile, fixed, seen):
    """Along one side, (start, stop, first kept, behind the last kept) of each tile."""
    if size <= tile:
        return [(0, tile if fixed else size, 0, size)]
    margin = math.ceil(seen.overlap / seen.multiple) * seen.multiple
    stride = tile - 2 * margin
    if stride < 1:
        raise HHError(
            f"tiles of {tile} pixels are too small for an overlap of {seen.overlap} on "
            f"each side; take tiles of {2 * margin + seen.multiple} at least, better "
            f"{4 * margin}."
        )
    spans, done = [], 0
    while done < size:
        start = max(0, min(done - margin, size - tile))
        stop = start + tile
        end = size if stop == size else stop - margin
        spans.append((start, stop, done, end))
        done = end
    return spans


def _inner(span, scale):
    start, _, first, last = span
    return slice((first - start) * scale, (last - start) * scale)


def _cut(image, y, x):
    """One tile, float32 0..255 `(1, h, w, c)`; beyond the image its border goes on."""
    piece = image[y[0] : y[1], x[0] : x[1]]
    if piece.dtype == np.uint16:
        piece = piece.astype(np.float32) / np.float32(257)
    piece = piece.astype(np.float32)
    missing = [(0, s[1] - s[0] - n) for s, n in zip((y, x), piece.shape)]
    if any(after for _, after in missing):
        piece = np.pad(piece, [*missing, (0, 0)], "edge")
    return piece[None]
