"""Still images with boxes, as videos in which nothing moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from hh_keras.data.decoding import decode_image, native_shape
from hh_keras.tasks.tracking.data.cropping import target_side
from hh_keras.tasks.tracking.data.regions import unusable
from hh_keras.tasks.tracking.data.sequence import Video

_LEAST_SIDE = 8  # pixels; of what is smaller, nothing can be recognised


class Picture(Video):
    """One image with the boxes of the objects in it; its frames are all that image."""


def picture(
    name: str,
    read: Callable[[], np.ndarray],
    found: Iterable,
    shape: tuple | None,
    skipped: dict[str, str],
) -> list[Picture]:
    """A picture, if anything is left of it.

    Args:
        name: unique in its data set.
        read: decodes the image.
        found: boxes: left, top, width, height. Those of objects smaller than 8 pixels
            are left out without a word.
        shape: height and width, if they are known.
        skipped: gets the place of a box of no use, and why.

    Returns:
        A list of one `Picture`, or of none.
    """
    good = []
    for number, box in enumerate(found):
        reason = unusable(box, shape)
        if reason:
            skipped[f"{name}#{number}"] = reason
        elif target_side(box) >= _LEAST_SIDE:
            good.append(box)
    if not good:
        return []
    return [Picture(name, (read,) * len(good), np.array(good, float))]


def decoded(content: bytes) -> np.ndarray:
    """The pixels of an image file, uint8 `(height, width, 3)`; raises ValueError."""
    return decode_image(content, (*native_shape(content)[:2], 3))
