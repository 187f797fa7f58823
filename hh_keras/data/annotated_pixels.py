"""Pixels of an image the way round that its boxes or its mask are for.

Cameras store what the sensor saw and note beside it (EXIF) how to turn it. Some tools
that boxes and masks are drawn with show the image turned, some do not.
"""

from __future__ import annotations

import numpy as np
from PIL import ExifTags, Image, ImageOps

from hh_keras.data.decoding import decode_image, native_shape, opened

_TAG, _TURNING = ExifTags.Base.Orientation, range(2, 9)  # 1 is upright


def annotated_pixels(
    encoded: bytes,
    size: tuple[int, int] | None,
    channels: int = 3,
    which: str = "its boxes are",
) -> np.ndarray:
    """Decodes an image as large as it is, turned if its annotations are.

    Args:
        encoded: the content of an image file.
        size: height and width that the annotations are for; None if nobody knows.
        channels: 1 or 3.
        which: they are, for messages.

    Returns:
        uint8 `(height, width, channels)`.

    Raises:
        ValueError: it is no image, or a damaged one; it has another size; or it is to
            be turned, and the size does not tell whether its annotations were.
    """
    stored, tag = native_shape(encoded)[:2], _turning(encoded)
    upright = stored[::-1] if tag and tag > 4 else stored
    if size not in (None, stored, upright):
        raise ValueError(
            f"it has {stored[1]}x{stored[0]} pixels, {which} for {size[1]}x{size[0]}"
        )
    if tag and (size is None or stored == upright):
        raise ValueError(
            f"its EXIF tag turns it, and nothing tells whether {which} for the turned "
            "image: save it without the tag"
        )
    pixels = decode_image(encoded, (*stored, channels))
    if size in (None, stored):
        return pixels
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    image.getexif()[_TAG] = tag
    return np.asarray(ImageOps.exif_transpose(image)).reshape(*upright, channels)


def _turning(encoded: bytes) -> int | None:
    """How the image is to be turned, None if it is upright."""
    with opened(encoded) as image:
        if image.getexif().get(_TAG) not in _TURNING:
            return None
        image.load()  # by which Pillow turns TIFF itself
        tag = image.getexif().get(_TAG)
        return tag if tag in _TURNING else None
