"""What a tracker's output should be, given where the target is: losses and decoding.

Outputs are those of `hh_keras.tasks.tracking.networks`. Labels are boxes `(batch, 4)`
in pixels of the search image; NaN where it does not show the target.
"""

from typing import Any

from keras import ops

from hh_keras.tasks.tracking.networks import CONTEXT, SIGMA

TEMPERATURE = 0.1
_SHARP = 0.3  # where the wanted map is higher, sides are learnt


def tracking_loss(side: int) -> Any:
    """How far an output is from what a box asks for.

    The wanted map m is a Gaussian at the target. Three parts are added: the cross
    entropy of softmax(map / temperature) with m's distribution; squared errors of the
    map to m, or to 0 where there is no target, in units of m's own; and 1 - IoU of the
    sides told near the target.

    Args:
        side: of the search image, in pixels.

    Returns:
        `f(boxes, outputs) → (batch,)`.
    """

    def loss(boxes, outputs):
        outputs = ops.cast(outputs, "float32")
        boxes = ops.cast(boxes, "float32")
        there = ops.cast(~ops.isnan(boxes[:, 0]), "float32")
        boxes = ops.where(ops.isnan(boxes), side / 2, boxes)
        score = outputs[..., 0]
        x, y = places(score.shape[1], side)
        wanted = _wanted(boxes, x, y, side) * there[:, None, None]
        weight = ops.sum(wanted, (1, 2)) + 1e-6
        chances = ops.log_softmax(
            ops.reshape(score / TEMPERATURE, (-1, x.shape[1] ** 2))
        )
        share = ops.reshape(wanted / weight[:, None, None], chances.shape)
        entropy = -ops.sum(share * chances, -1)
        squares = ops.sum(ops.square(score - wanted), (1, 2))
        total = entropy + squares / _mass(side, score.shape[1])
        if outputs.shape[-1] == 1:
            return total
        inside = wanted * ops.cast(wanted > _SHARP, "float32")
        told = _told(outputs[..., 1:], x, y, side)
        true = ops.stack(_corners(boxes), -1)[:, None, None]
        apart = inside * (1 - _overlap(told, true))
        return total + ops.sum(apart, (1, 2)) / (ops.sum(inside, (1, 2)) + 1e-6)

    return loss


def overlap(side: int) -> Any:
    """The IoU of the box that an output tells with the true one: the AUC of pairs.

    Without sides, the box told has the true size, wherever it is put. Pairs without
    the target count as 1.

    Returns:
        `f(boxes, outputs) → (batch,)`.
    """

    def measure(boxes, outputs):
        outputs = ops.cast(outputs, "float32")
        boxes = ops.cast(boxes, "float32")
        n = outputs.shape[1]
        x, y = places(n, side)
        flat = ops.reshape(outputs, (-1, n * n, outputs.shape[-1]))
        best = ops.argmax(flat[..., 0], -1)
        chosen = ops.one_hot(best, n * n, dtype="float32")
        if outputs.shape[-1] == 1:
            middle = [
                ops.sum(chosen * ops.reshape(v + 0 * x, (1, -1)), -1) for v in (x, y)
            ]
            half = boxes[:, 2:] / 2
            low = ops.stack(middle, -1) - half
            told = ops.concatenate([low, low + 2 * half], -1)
        else:
            every = _told(outputs[..., 1:], x, y, side)
            told = ops.sum(chosen[..., None] * ops.reshape(every, (-1, n * n, 4)), 1)
        found = _overlap(told, ops.stack(_corners(boxes), -1))
        return ops.where(ops.isnan(boxes[:, 0]), 1.0, found)

    return measure


def places(cells: int, side: int) -> tuple:
    """The middles of cells in pixels, `(1, cells)` across and `(cells, 1)` down."""
    line = (ops.arange(cells, dtype="float32") + 0.5) * (side / cells)
    return line[None], line[:, None]


def _wanted(boxes, x, y, side):
    sigma = SIGMA * side / CONTEXT
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    across, down = (middle[:, k, None, None] for k in (0, 1))
    squares = ops.square(x - across) + ops.square(y - down)
    return ops.exp(-squares / (2 * sigma**2))


def _mass(side, cells):
    """The sum of squares of a wanted map, about."""
    return 3.1416 * (SIGMA * cells / CONTEXT) ** 2


def _told(sides, x, y, side):
    """Corners of the boxes that every cell tells, `(batch, n, n, 4)`."""
    unit = side / CONTEXT
    left, top, right, bottom = (sides[..., k] * unit for k in range(4))
    return ops.stack([x - left, y - top, x + right, y + bottom], -1)


def _corners(boxes):
    low, size = boxes[:, :2], boxes[:, 2:]
    high = low + size
    return low[:, 0], low[:, 1], high[:, 0], high[:, 1]


def _overlap(a, b):
    """IoU of boxes by their corners, on the last axis."""
    low = ops.maximum(a[..., :2], b[..., :2])
    high = ops.minimum(a[..., 2:], b[..., 2:])
    inner = ops.prod(ops.maximum(high - low, 0.0), -1)
    areas = [ops.prod(ops.maximum(c[..., 2:] - c[..., :2], 0.0), -1) for c in (a, b)]
    return inner / (areas[0] + areas[1] - inner + 1e-6)
