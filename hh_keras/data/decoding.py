"""From the bytes of an image file to pixels of the wanted shape.

Pillow does the work: it reads more formats than TensorFlow, and other threads can run
while it decodes and resizes.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from hh_keras.data.views import Cuts, cuts_of
from hh_keras.errors import DataError

EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff",
)  # fmt: skip
"""File names that end so, in small or capital letters, are taken for images."""

_GREY_MODES = ("1", "L", "LA", "La", "I", "F")


def decode_image(encoded: bytes, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes an image, converts it to grey or RGB, and resizes it.

    As `decode_cuts`, of the whole image; its aspect ratio is not kept.

    Returns:
        uint8 of shape `image_shape`.
    """
    return decode_cuts(encoded, image_shape, cuts_of("resize", image_shape))[0]


def decode_cuts(
    encoded: bytes, image_shape: tuple[int, int, int], cuts: Cuts
) -> np.ndarray:
    """Decodes an image, converts it to grey or RGB, cuts pieces out and resizes them.

    Transparency is dropped, 16 bits per channel become 8, CMYK and palettes become
    RGB, grey is ITU-R 601 luma. Resizing is bilinear and antialiased. Of an animation,
    the first frame counts.

    Args:
        encoded: the content of an image file; the format is read from it.
        image_shape: the wanted `(height, width, channels)`, channels 1 or 3.
        cuts: which pieces, a function of the image's size.

    Returns:
        uint8 of shape `(pieces, *image_shape)`.

    Raises:
        ValueError: the bytes are no image, or a damaged one; the text says which.
    """
    height, width, channels = image_shape
    with opened(encoded) as image:
        image = _eight_bits(image)
        if channels == 3 or image.mode not in _GREY_MODES:
            image = image.convert("RGB")
        if channels == 1:
            image = image.convert("L")
        pieces = []
        for box, mirrored in cuts(*image.size):
            piece = image
            if image.size != (width, height) or box != (0, 0, width, height):
                piece = image.resize((width, height), Image.Resampling.BILINEAR, box)
            if mirrored:
                piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            pieces.append(np.asarray(piece, np.uint8).reshape(image_shape))
        return np.stack(pieces)


def native_shape(encoded: bytes) -> tuple[int, int, int]:
    """Reads `(height, width, channels)` from the head of an image file.

    Args:
        encoded: the content of the file.

    Returns:
        The shape; channels are 1 for grey images and 3 for all others.

    Raises:
        ValueError: the bytes are no image; the text says why.
    """
    with opened(encoded) as image:
        is_grey = image.mode.split(";")[0] in _GREY_MODES
        return image.height, image.width, 1 if is_grey else 3


def unreadable(place: bytes, error: Exception) -> DataError:
    """Words the error about an image that cannot be read."""
    reason = getattr(error, "strerror", None) or error
    return DataError(
        f"{place.decode(errors='replace')} is not a readable image ({reason}). "
        "Remove or replace it."
    )


def _eight_bits(image: Image.Image) -> Image.Image:
    """Brings modes that Pillow converts badly, or not at all, into ones it can."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if image.mode.startswith("I"):
        high = np.clip(np.asarray(image), 0, 65535).astype(np.uint16) >> 8
        return Image.fromarray(high.astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")
    return image


@contextlib.contextmanager
def opened(encoded: bytes) -> Iterator[Image.Image]:
    """The image; whatever is wrong with it inside the block is a ValueError."""
    if not encoded:
        raise ValueError("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            yield image
    except UnidentifiedImageError as error:
        raise ValueError("it holds no image of a known format") from error
    except Exception as error:
        # Pillow lets through whatever its decoders stumble over: SyntaxError for a
        # broken PNG, struct.error, zlib.error, EOFError ...
        text = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(text or type(error).__name__) from error
