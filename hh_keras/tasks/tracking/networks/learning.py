"""What a tracker's output should be, given where the target is: losses and decoding.

Outputs are those of `hh_keras.tasks.tracking.networks`. Labels are boxes `(batch, 4)`,
left, top, width and height in sides of the search image; NaN where it does not show the
target.
"""

import math
from typing import Any

from keras import ops

from hh_keras.tasks.tracking.networks.trackers import CONTEXT, SIGMA

TEMPERATURE = 0.1
_SHARP = 0.3  # where the wanted map is higher, sides are learnt
_TINY = 1e-6


def tracking_loss(boxes: Any, outputs: Any) -> Any:
    """How far outputs are from what boxes ask for, `(batch,)`.

    The wanted map m is a Gaussian at the target. Three parts are added: the cross
    entropy of softmax(map / temperature) with m's distribution; squared errors of the
    map to m, or to 0 where there is no target, in units of m's own; and 1 - IoU of the
    sides told near the target.
    """
    outputs, boxes = ops.cast(outputs, "float32"), ops.cast(boxes, "float32")
    there = ops.cast(~ops.isnan(boxes[:, 0]), "float32")
    boxes = ops.where(ops.isnan(boxes), 0.5, boxes)
    score, (x, y) = outputs[..., 0], places(outputs.shape[1])
    wanted = _wanted(boxes, x, y) * there[:, None, None]
    weight = ops.sum(wanted, (1, 2), keepdims=True) + _TINY
    flat = (-1, score.shape[1] ** 2)
    chances = ops.log_softmax(ops.reshape(score / TEMPERATURE, flat))
    entropy = -ops.sum(ops.reshape(wanted / weight, flat) * chances, -1)
    squares = ops.sum(ops.square(score - wanted), (1, 2)) / _mass(score.shape[1])
    if outputs.shape[-1] == 1:
        return entropy + squares
    inside = wanted * ops.cast(wanted > _SHARP, "float32")
    told, true = _told(outputs[..., 1:], x, y), _corners(boxes)[:, None, None]
    apart = ops.sum(inside * (1 - _overlap(told, true)), (1, 2))
    return entropy + squares + apart / (ops.sum(inside, (1, 2)) + _TINY)


def overlap(boxes: Any, outputs: Any) -> Any:
    """The IoU of the box that each output tells with the true one, `(batch,)`.

    Its mean is the area under the success curve of the pairs. An output without sides
    tells a box of the true size, wherever it puts it. NaN where the search image does
    not show the target.
    """
    outputs, boxes = ops.cast(outputs, "float32"), ops.cast(boxes, "float32")
    n = outputs.shape[1]
    flat = ops.reshape(outputs, (-1, n * n, outputs.shape[-1]))
    chosen = ops.one_hot(ops.argmax(flat[..., 0], -1), n * n, dtype="float32")
    x, y = places(n)
    if outputs.shape[-1] == 1:
        half = ops.reshape(boxes[:, 2:] / 2, (-1, 1, 1, 2))
        half = half + ops.zeros((1, n, n, 1))
        sides = ops.concatenate([half, half], -1) * CONTEXT
    else:
        sides = outputs[..., 1:]
    every = ops.reshape(_told(sides, x, y), (-1, n * n, 4))
    found = _overlap(ops.sum(chosen[..., None] * every, 1), _corners(boxes))
    return ops.where(ops.isnan(boxes[:, 0]), float("nan"), found)


def places(cells: int) -> tuple:
    """The middles of cells in sides of the image: `(1, cells)` and `(cells, 1)`."""
    line = (ops.arange(cells, dtype="float32") + 0.5) / cells
    return line[None], line[:, None]


def _wanted(boxes, x, y):
    sigma = SIGMA / CONTEXT
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    across, down = (middle[:, k, None, None] for k in (0, 1))
    return ops.exp(-(ops.square(x - across) + ops.square(y - down)) / (2 * sigma**2))


def _mass(cells):
    """The sum of squares of a wanted map."""
    return math.pi * (SIGMA * cells / CONTEXT) ** 2


def _told(sides, x, y):
    """Corners of the boxes that every cell tells, `(batch, n, n, 4)`."""
    left, top, right, bottom = (sides[..., k] / CONTEXT for k in range(4))
    return ops.stack([x - left, y - top, x + right, y + bottom], -1)


def _corners(boxes):
    return ops.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], -1)


def _overlap(a, b):
    """IoU of boxes by their corners, on the last axis."""
    low = ops.maximum(a[..., :2], b[..., :2])
    high = ops.minimum(a[..., 2:], b[..., 2:])
    inner = ops.prod(ops.maximum(high - low, 0.0), -1)
    areas = [ops.prod(ops.maximum(c[..., 2:] - c[..., :2], 0.0), -1) for c in (a, b)]
    return inner / (areas[0] + areas[1] - inner + _TINY)
