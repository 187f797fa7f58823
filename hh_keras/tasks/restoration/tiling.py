"""Restoring images of any size and kind: in tiles that overlap."""

import functools
from collections.abc import Callable

import keras
import numpy as np

from hh_keras.data.resizing import imresize
from hh_keras.errors import DataError, HHError, ModelError
from hh_keras.graph.reach import Reach
from hh_keras.tasks.tiling import in_tiles, own_size, runner, seen_by, tile_side


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
        run, channels = runner(model), model.inputs[0].shape[-1]
        seen = seen_by(model, overlap)
        own = own_size(model)
        fixed, tile = own is not None, own or tile_side(tile, seen)
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
            parts.append(in_tiles(run, one, tile, fixed, seen, kept, tell))
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
