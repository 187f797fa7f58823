"""Images and their masks, from files to arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from hh_keras.data.annotated_pixels import annotated_pixels
from hh_keras.data.decoding import native_shape
from hh_keras.tasks.decoded import decoded, first_size
from hh_keras.tasks.segmentation.classes import Classes
from hh_keras.tasks.segmentation.folders import Masked
from hh_keras.tasks.segmentation.masks import mask_values

_LEAST_SIDE = 8  # pixels; what is smaller shows nothing


def opened(
    images: Sequence[Masked],
    classes: Classes,
    channels: int,
    note: Callable,
    most: float,
) -> tuple[list[Callable], int]:
    """Functions that give `(image, mask)`; see `hh_keras.tasks.decoded`.

    An image is uint8 `(h, w, channels)`, its mask uint8 `(h, w)`, see
    `Classes.masked`.
    """
    height, width, _ = first_size(images, note)
    decode = functools.partial(_decoded, classes=classes, channels=channels)
    each = height * width * (channels + 1)
    kinds = "are unreadable, or their masks are"
    return decoded(images, decode, note, most, each, kinds)


def _decoded(image, classes, channels):
    """Decodes an image and its mask.

    Raises:
        ValueError: one of them is damaged, they differ in size, or the mask holds
            values that are no classes.
    """
    encoded = image.read()
    height, width = native_shape(encoded)[:2]
    if min(height, width) < _LEAST_SIDE:
        raise ValueError(f"it has {width}x{height} pixels, too few to show anything")
    try:
        values = mask_values(image.read_mask(), classes.colours)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"its mask cannot be used: {reason}") from error
    pixels = annotated_pixels(encoded, values.shape, channels, "its mask is")
    return pixels, classes.masked(values)
