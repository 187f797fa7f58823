"""Squares cut out of a frame: what a network sees of it."""

import numpy as np
from PIL import Image

from hh_keras.tasks.tracking.data import boxes

CONTEXT = 3.0
"""Side of exemplar and search image over that of a square as large as the target."""

_SAMPLES = 64  # along the shorter side, of which a mean colour is taken


def mean_colour(frame: np.ndarray) -> np.ndarray:
    """uint8 `(3,)`: what is put where a square reaches past the frame."""
    step = max(1, min(frame.shape[:2]) // _SAMPLES)
    return (frame[::step, ::step].mean((0, 1)) + 0.5).astype(np.uint8)


def target_side(box: np.ndarray) -> float:
    """Of the square that has the area of a box."""
    return float(np.sqrt(box[2] * box[3]))


def crop(
    frame: np.ndarray, centre: np.ndarray, side: float, size: int, fill: np.ndarray
) -> np.ndarray:
    """Cuts a square out and resizes it, bilinear, antialiased where it shrinks.

    Args:
        frame: uint8 `(height, width, 3)`.
        centre: of the square: across, down. Corners are whole numbers, not pixels.
        side: of the square, in the frame's pixels.
        size: pixels of the result.
        fill: uint8 `(3,)`, the colour outside of the frame.

    Returns:
        uint8 `(size, size, 3)`.
    """
    low = np.asarray(centre, float) - side / 2
    first = np.floor(low).astype(int) - 1
    window = _window(frame, first, np.ceil(low + side).astype(int) + 1, fill)
    left, top = low - first
    image = Image.fromarray(window)
    part = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, part))


def _window(frame, first, last, fill):
    """The pixels from `first` up to `last`, also where there are none."""
    size = np.array(frame.shape[1::-1])
    low, high = np.clip(first, 0, size), np.clip(last, 0, size)
    inside = frame[low[1] : high[1], low[0] : high[0]]
    if (low == first).all() and (high == last).all():
        return np.ascontiguousarray(inside)
    across, down = last - first
    window = np.empty((down, across, 3), np.uint8)
    window[:] = fill
    (left, top), (right, bottom) = low - first, high - first
    window[top:bottom, left:right] = inside
    return window


def box_in_crop(
    box: np.ndarray, centre: np.ndarray, side: float, size: int
) -> np.ndarray:
    """A box of the frame in the pixels of `crop`'s result, float `(4,)`."""
    low = np.asarray(centre, float) - side / 2
    scale = size / side
    middle = (boxes.centres(box) - low) * scale
    return boxes.around(middle, np.asarray(box, float)[2:] * scale)
