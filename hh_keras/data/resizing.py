"""Bicubic resizing as the field of super-resolution means it: MATLAB's `imresize`.

Published figures rest on it. It is Keys's cubic (a = -1/2), stretched when it makes an
image smaller, so that it averages over all pixels; borders are mirrored. Pillow,
OpenCV and TensorFlow each differ in one of these.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.sparse import csr_array


def imresize(image: np.ndarray, scale: float) -> np.ndarray:
    """Resizes an image by a factor.

    Args:
        image: `(height, width)` or `(height, width, channels)`, any real dtype.
        scale: factor of both sides, above 0, such as 1/2.

    Returns:
        float32 of `ceil(scale * size)` per side; it may overshoot the range of the
        input, see `to_pixels`.

    Reference: Keys, IEEE Trans. ASSP 29(6), 1981; MATLAB's `imresize(image, scale)`.
    """
    shape = image.shape
    rows, columns = (_weights(size, scale) for size in shape[:2])
    flat = image.reshape(shape[0], -1).astype("float32")
    flat = (rows @ flat).reshape(rows.shape[0], shape[1], -1)
    turned = np.moveaxis(flat, 1, 0)
    done = (columns @ turned.reshape(shape[1], -1)).reshape(-1, *turned.shape[1:])
    done = np.moveaxis(done, 0, 1)
    return np.ascontiguousarray(done.reshape(*done.shape[:2], *shape[2:]))


def to_pixels(values: np.ndarray) -> np.ndarray:
    """Rounds to uint8, as an image file would hold the values."""
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=256)
def _weights(size: int, scale: float) -> csr_array:
    """The matrix `(new size, size)` that resizes one axis."""
    new = math.ceil(size * scale - 1e-9)
    stretch = min(scale, 1.0)
    reach = 2 / stretch
    centres = (np.arange(new) + 0.5) / scale - 0.5
    first = np.floor(centres - reach).astype(int)
    places = first[:, None] + np.arange(math.ceil(2 * reach) + 2)
    weights = _cubic((centres[:, None] - places) * stretch)
    weights /= weights.sum(1, keepdims=True)
    # Mirrored with the border pixel repeated, however far out.
    mirrored = np.mod(places, 2 * size)
    mirrored = np.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
    rows = np.repeat(np.arange(new), places.shape[1])
    entries = (weights.ravel().astype("float32"), (rows, mirrored.ravel()))
    return csr_array(entries, shape=(new, size))


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
