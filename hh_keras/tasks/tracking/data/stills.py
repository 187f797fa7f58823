"""Images with boxes, as detection has them, to learn tracking from."""

from __future__ import annotations

import functools

import numpy as np

from hh_keras.data.annotated_pixels import annotated_pixels
from hh_keras.data.annotations import Annotated
from hh_keras.data.box_sets import open_boxes
from hh_keras.tasks.tracking.data.pictures import picture
from hh_keras.tasks.tracking.data.sequence import Video


def open_stills(spec: str, skipped: dict[str, str]) -> dict[str, list[Video]]:
    """Lists the pictures of a set of images with boxes.

    Crowds are left out, and the part "test".

    Args:
        spec: see `hh_keras.data.box_sets.open_boxes`.
        skipped: gets images and boxes that are of no use, place to reason.

    Returns:
        Part → its pictures.

    Raises:
        DataError: there is no such set, or it holds no boxes.
    """
    found = open_boxes(spec, skipped)
    return {
        part: [video for image in found[part] for video in _pictures(image, skipped)]
        for part in ("train", "val")
        if part in found
    }


def _pictures(image: Annotated, skipped: dict[str, str]) -> list:
    corners = image.corners[~image.crowd]
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    read = functools.partial(_decoded, image.read, image.size)
    return picture(image.place, read, boxes, image.size, skipped)


def _decoded(read, size):
    return annotated_pixels(read(), size)
