"""Restoring images of any size and kind: in tiles that overlap."""

import functools
import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from hh_keras.data.resizing import imresize
from hh_keras.errors import DataError, HHError, ModelError
from hh_keras.graph.reach import Reach, reach

_TILE = 512  # pixels of the result; a layer of 64 channels then takes 64 MiB


def size_multiple(model: keras.Model) -> int:
    """What the sides of a model's images must be multiples of; 1 if not known."""
    try:
        return reach(model).multiple
    except ModelError:
        return 1


def restore(
    model: keras.Model | Callable,
    image: np.ndarray,
    tile: int | None = None,
    overlap: int | None = None,
    progress: Callable[[float], None] | None = None,
    channels: int | None = None,
) -> np.ndarray:
    """Runs a network over one image, tile by tile, in little memory.

    Args:
        model, tile, overlap, channels: as for `restorer`.
        image, progress: as for what it returns.

    Returns:
        The restored image.

    Raises:
        What `restorer` and its function raise.
    """
    return restorer(model, tile, overlap, channels)(image, progress)


def restorer(
    model: keras.Model | Callable,
    tile: int | None = None,
    overlap: int | None = None,
    channels: int | None = None,
    multiple: int = 1,
) -> Callable:
    """Returns a function that restores images of any size, tile by tile.

    With the overlap that is derived from the network's graph, the result is the same as
    that of the whole image; a smaller one is faster and may leave seams.

    Colour images go through a grey network channel by channel; grey ones through a
    colour network as three equal channels, whose mean is the result. Transparency is
    kept, or enlarged.

    Args:
        model: a Keras model from pixels 0..255 to pixels, channels last, or a function
            of arrays `(1, tile, tile, channels)` that returns such arrays; a function
            needs `tile`, `overlap` and `channels`.
        tile: side of the tiles that the network is given; None chooses one.
        overlap: pixels by which a tile reaches beyond what is kept of it, on each side.
        channels: of a function's arrays, 1 or 3.
        multiple: where a function's tiles may start; the model's own is known.

    Returns:
        `f(image, progress=None) → image`. It takes arrays `(height, width)` or
        `(height, width, channels)` with 1 (grey), 2 (grey and alpha), 3 (RGB) or 4
        (RGBA) channels; uint8, uint16, or floats 0..255. It returns an array of the
        same rank and dtype, `scale` times as high and wide; integers are rounded,
        floats not clipped. `progress` is called with the share that is done, 0 to 1,
        after every tile. It raises `DataError` if the image has another shape or dtype.

    Raises:
        HHError: the tile is too small for the overlap.
        ModelError: the model does not make images of images; or how far it sees is not
            known, and `overlap` is not given.
    """
    fixed = True
    if isinstance(model, keras.Model):
        _check_images(model)
        run, channels = _runner(model), model.inputs[0].shape[-1]
        seen = _seen(model, overlap)
        own = _own_size(model)
        fixed, tile = own is not None, own or _tile(tile, seen)
    elif tile is None or overlap is None or channels is None:
        raise HHError("restore: a function needs tile, overlap and channels.")
    else:
        run, seen = model, Reach(overlap, multiple, None)

    def restored(image, progress=None):
        pixels = _checked(image)
        opaque = pixels.shape[-1] - (pixels.shape[-1] in (2, 4))
        colours, alpha = pixels[..., :opaque], pixels[..., opaque:]
        passes, parts = _passes(colours, channels), []
        for k, one in enumerate(passes):
            tell = progress and functools.partial(_tell, progress, k, len(passes))
            kept = _kept(image.dtype, one)
            parts.append(_restored(run, one, tile, fixed, seen, kept, tell))
        result = parts[0] if len(parts) == 1 else np.concatenate(parts, -1)
        if alpha.shape[-1]:
            result = np.concatenate([result, _alpha(alpha, result)], -1)
        return result if image.ndim == 3 else result[..., 0]

    return restored


def _tell(progress, done, passes, share):
    progress((done + share) / passes)


def _checked(image):
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
        raise DataError(
            "an image must be an array (height, width) or (height, width, channels); "
            f"this is {getattr(image, 'shape', type(image).__name__)}."
        )
    if image.dtype not in (np.uint8, np.uint16) and image.dtype.kind != "f":
        raise DataError(
            f"an image must be uint8, uint16 or floats 0..255; this is {image.dtype}."
        )
    pixels = image if image.ndim == 3 else image[..., None]
    if pixels.shape[-1] not in (1, 2, 3, 4) or not pixels.size:
        raise DataError(
            "an image must have 1 to 4 channels and some pixels; this is "
            f"{image.shape}."
        )
    return pixels


def _check_images(model):
    """Raises unless a model makes images of images."""
    takes = [tuple(x.shape[1:]) for x in model.inputs]
    gives = [tuple(x.shape[1:]) for x in model.outputs]
    images = [len(s) == 3 and s[-1] in (1, 3) for s in (*takes, *gives)]
    if len(takes) != 1 or len(gives) != 1 or not all(images):
        raise ModelError(
            f"model '{model.name}' takes {takes} and returns {gives}: that is no "
            "network from one image (height, width, channels) to another, with 1 or 3 "
            "channels."
        )


def _runner(model):
    # Of unknown size where the model's is: one trace serves all tiles.
    spec = tf.TensorSpec([1, *model.inputs[0].shape[1:]], tf.float32)
    forward = tf.function(lambda x: model(x, training=False), input_signature=[spec])
    return lambda x: keras.tree.flatten(forward(tf.constant(x)))[0].numpy()


def _own_size(model):
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


def _seen(model, overlap):
    if overlap is None:
        return reach(model)
    try:
        seen = reach(model)
    except HHError:
        seen = Reach(0, 1, None)
    return Reach(overlap, seen.multiple, seen.scale)


def _tile(tile, seen):
    """The side of the tiles, a multiple; by default large beside the overlap."""
    if tile is None:
        tile = max(_TILE // (seen.scale or 1), 4 * seen.overlap)
        return math.ceil(tile / seen.multiple) * seen.multiple
    return max(tile // seen.multiple, 1) * seen.multiple


def _passes(colours, channels):
    """What the network is given, one after another: `(h, w, network's channels)`."""
    if channels == colours.shape[-1]:
        return [colours]
    if channels == 1:
        return [colours[..., k : k + 1] for k in range(colours.shape[-1])]
    if colours.shape[-1] == 1 and channels == 3:
        return [np.broadcast_to(colours, (*colours.shape[:2], 3))]
    raise DataError(
        f"the network takes {channels} channels, the image has {colours.shape[-1]}."
    )


def _kept(dtype, image):
    """How a tile's pixels become those of the image: `f(float32) → dtype`."""
    grey = image.strides[-1] == 0  # one channel, shown three times

    def kept(values):
        if grey:
            values = values.mean(-1, keepdims=True)
        if dtype.kind == "f":
            return values.astype(dtype)
        largest = np.iinfo(dtype).max
        return np.clip(np.rint(values * (largest / 255)), 0, largest).astype(dtype)

    return kept


def _restored(run, image, tile, fixed, seen, kept, tell):
    """Restores `(h, w, c)`; tiles start at multiples, and reach over by `overlap`."""
    sides = image.shape[:2]
    padded = [math.ceil(n / seen.multiple) * seen.multiple for n in sides]
    spans = [_spans(n, tile, fixed, seen) for n in padded]
    result, scale, done = None, seen.scale, 0
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


def _alpha(alpha, result):
    """The transparency of the image at the size of the result."""
    scale = result.shape[0] // alpha.shape[0]
    if scale == 1:
        return alpha
    larger = imresize(alpha, scale)
    if result.dtype.kind == "f":
        return larger.astype(result.dtype)
    largest = np.iinfo(result.dtype).max
    return np.clip(np.rint(larger), 0, largest).astype(result.dtype)
