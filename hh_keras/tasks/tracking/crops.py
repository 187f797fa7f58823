"""Square parts of frames, resized: what a tracker sees."""

import numpy as np
from PIL import Image


def crop(frame: np.ndarray, centre: np.ndarray, side: float, pixels: int) -> np.ndarray:
    """Cuts a square out of a frame; beyond its edges there is its mean colour.

    Args:
        frame: uint8 `(height, width, 3)`.
        centre: of the square, across and down, in pixels of the frame.
        side: of the square, likewise.
        pixels: side of the result.

    Returns:
        uint8 `(pixels, pixels, 3)`, smoothed where it is made smaller.
    """
    low = np.asarray(centre, float) - side / 2
    first = np.floor(low).astype(int) - 1
    last = np.ceil(low + side).astype(int) + 1
    height, width = frame.shape[:2]
    inner = np.clip([first, last], 0, [width, height])
    part = frame[inner[0, 1] : inner[1, 1], inner[0, 0] : inner[1, 0]]
    if (inner != [first, last]).any():
        around = np.empty((*(last - first)[::-1], 3), np.uint8)
        around[:] = frame.mean((0, 1)).round()
        x, y = inner[0] - first
        around[y : y + part.shape[0], x : x + part.shape[1]] = part
        part = around
    edge = low - first
    box = (*edge, *(edge + side))
    resized = Image.fromarray(np.ascontiguousarray(part)).resize(
        (pixels, pixels), Image.Resampling.BILINEAR, box
    )
    return np.asarray(resized)
