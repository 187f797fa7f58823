"""How boxes lie to each other; boxes are `(..., 4)`: left, top, right, bottom."""

from typing import Any

from keras import ops

_LEAST = 1e-6


def area(boxes: Any) -> Any:
    """Of each box, `(...,)`."""
    return ops.prod(ops.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), -1)


def iou(a: Any, b: Any) -> Any:
    """Intersection over union, of the shape that both broadcast to."""
    inner, both = _inner_and_union(a, b)
    return inner / both


def generalized_iou(a: Any, b: Any) -> Any:
    """IoU less the share of the box around both that neither covers; -1 to 1.

    Reference: Rezatofighi et al., CVPR 2019, arXiv:1902.09630.
    """
    inner, both = _inner_and_union(a, b)
    low = ops.minimum(a[..., :2], b[..., :2])
    high = ops.maximum(a[..., 2:], b[..., 2:])
    around = ops.maximum(ops.prod(high - low, -1), _LEAST)
    return inner / both - (around - both) / around


def _inner_and_union(a, b):
    low = ops.maximum(a[..., :2], b[..., :2])
    high = ops.minimum(a[..., 2:], b[..., 2:])
    inner = ops.prod(ops.maximum(high - low, 0.0), -1)
    return inner, ops.maximum(area(a) + area(b) - inner, _LEAST)
