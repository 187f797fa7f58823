"""Boxes: float arrays `(..., 4)` of left, top, width, height in pixels.

The image's left upper corner is (0, 0), its right lower corner (width, height). NaN in
all four is a target that is not there.
"""

import numpy as np


def centres(boxes: np.ndarray) -> np.ndarray:
    """The middle of each box, `(..., 2)`: across, down."""
    boxes = np.asarray(boxes, float)
    return boxes[..., :2] + boxes[..., 2:] / 2


def around(centre: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The boxes of such middles and sizes, both `(..., 2)`."""
    centre, size = np.asarray(centre, float), np.asarray(size, float)
    return np.concatenate([centre - size / 2, size], -1)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union, `(...,)`; NaN where either box is absent."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    inner = np.prod(np.maximum(high - low, 0), -1)
    both = np.prod(a[..., 2:], -1) + np.prod(b[..., 2:], -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.minimum(inner / (both - inner), 1)  # rounding would make it more


def enclosing(polygons: np.ndarray) -> np.ndarray:
    """The upright boxes around polygons `(..., 2 * corners)`: x, y, x, y, …"""
    polygons = np.asarray(polygons, float)
    corners = polygons.reshape(*polygons.shape[:-1], -1, 2)
    low, high = corners.min(-2), corners.max(-2)
    return np.concatenate([low, high - low], -1)
