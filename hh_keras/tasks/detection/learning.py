"""What a detector learns: which place tells which box, and the loss.

The rules are FCOS's (Tian et al., ICCV 2019, arXiv:1904.01355), with its sampling near
the centre, and the loss of Generalized Focal Loss (Li et al., NeurIPS 2020,
arXiv:2006.04388, equation 3): the score that is learnt is how well the box fits.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from hh_keras.tasks.detection import overlaps
from hh_keras.tasks.detection.detections import detections
from hh_keras.tasks.detection.places import Places, corners, places_of

_ACROSS = 6.0  # strides: wider boxes are left to a coarser map
_NEAR = 1.5  # strides from a box's middle, of the places that tell it
_BOX_WEIGHT = 2.0
_FAR = 1e12


def assigned(rows: Any, places: Places) -> Any:
    """Which box each place is to tell, int32 `(batch, places)`; -1 for none.

    A box belongs to the finest map on which it is at most six cells wide, and there to
    the cells near its middle whose own middle it covers; the cell that has the box's
    middle always counts. Of several boxes a place tells the smallest.

    Args:
        rows: `(batch, n, 5)`, see `images`.
        places: the detector's.
    """
    boxes, there = rows[..., :4], _objects(rows)
    strides, finest = places.strides, places.strides.min()
    size = ops.sqrt(overlaps.area(boxes)) / _ACROSS
    level = ops.ceil(ops.log2(ops.maximum(size, finest) / finest))
    own = ops.minimum(finest * 2.0**level, places.strides.max())
    fits = ops.equal(strides[:, None], own[:, None, :])
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    from_middle = (
        ops.max(ops.abs(places.centres[:, None] - middle[:, None]), -1)
        / strides[:, None]
    )
    inside = ops.min(
        ops.concatenate(
            [
                places.centres[:, None] - boxes[:, None, :, :2],
                boxes[:, None, :, 2:] - places.centres[:, None],
            ],
            -1,
        ),
        -1,
    )
    near = ops.logical_and(from_middle < _NEAR, inside > 0)
    near = ops.logical_or(near, from_middle <= 0.5)
    tells = ops.logical_and(ops.logical_and(fits, near), there[:, None])
    cost = ops.where(tells, overlaps.area(boxes)[:, None], _FAR)
    chosen = ops.cast(ops.argmin(cost, -1), "int32")
    return ops.where(ops.any(tells, -1), chosen, -1)


def _objects(rows):
    """Which rows are boxes to find, bool `(batch, n)`: not empty ones, nor crowds."""
    return ops.logical_and(rows[..., 2] > rows[..., 0], rows[..., 4] >= 0)


def detection_loss(model: keras.Model) -> Callable:
    """`f(rows, output) → (batch,)`: quality focal loss and 2 · (1 - GIoU).

    Both are sums over an image's places, divided by how many of them tell a box. Places
    within a crowd that tell none do not count.
    """
    places = places_of_model(model)

    def loss(rows, output):
        told, positive, rows = _told(rows, output, places)
        boxes = corners(output, places)
        fit = overlaps.iou(boxes, told[..., :4])
        classes = output.shape[-1] - 4
        kinds = ops.one_hot(ops.cast(ops.maximum(told[..., 4], 0.0), "int32"), classes)
        quality = ops.stop_gradient(fit * positive)[..., None] * kinds
        counts = ops.maximum(positive, 1.0 - _in_crowd(rows, places))
        scores = ops.sum(_quality_focal(quality, output[..., 4:]), -1) * counts
        apart = (1.0 - overlaps.generalized_iou(boxes, told[..., :4])) * positive
        number = ops.maximum(ops.sum(positive, -1), 1.0)
        return (ops.sum(scores, -1) + _BOX_WEIGHT * ops.sum(apart, -1)) / number

    return loss


def _told(rows, output, places):
    """The row that each place is to tell, and whether it is to tell one."""
    rows = ops.cast(rows, output.dtype)
    number = assigned(rows, places)
    chosen = ops.maximum(number, 0)[..., None]
    told = ops.take_along_axis(rows, ops.repeat(chosen, 5, -1), 1)
    return told, ops.cast(number >= 0, output.dtype), rows


def _quality_focal(wanted, logits):
    off = ops.square(wanted - ops.sigmoid(logits))
    return off * (ops.softplus(logits) - wanted * logits)


def _in_crowd(rows, places):
    """1 for places within a crowd, `(batch, places)`."""
    low, high = rows[:, None, :, :2], rows[:, None, :, 2:4]
    middle = places.centres[:, None]
    within = ops.all(ops.logical_and(middle > low, middle < high), -1)
    crowd = ops.logical_and(within, rows[:, None, :, 4] < 0)
    return ops.cast(ops.any(crowd, -1), rows.dtype)


def places_of_model(model: keras.Model) -> Places:
    """The places of a detector; raises ModelError, see `places_of`."""
    return places_of(model.inputs[0].shape[1:3], model.outputs[0].shape[1])


def precision_within(rows: Any, output: Any, size: tuple[int, int]) -> Any:
    """Average precision at an IoU of 0.5 within each image, `(batch,)`.

    For the history: the boxes of all classes in one list, best first; the mean over an
    image's objects of the precision at which each is found, 0 if it is not. Of an image
    without objects, one less the best score. (AP50 proper ranks the boxes of all
    images, class by class: `evaluation`.)

    Args:
        rows: `(batch, n, 5)`.
        output: of a detector.
        size: height and width of its images.
    """
    places = places_of(size, output.shape[1])
    rows = ops.cast(rows, output.dtype)
    boxes, kinds, scores = detections(output, places)
    same = ops.equal(ops.cast(kinds, rows.dtype)[:, :, None], rows[:, None, :, 4])
    same = ops.logical_and(same, _objects(rows)[:, None])
    fit = overlaps.iou(boxes[:, :, None], rows[:, None, :, :4])
    fit = ops.where(ops.logical_and(same, scores[:, :, None] > 0), fit, 0.0)
    best = ops.equal(fit, ops.max(fit, -1, keepdims=True))
    hits = ops.cast(ops.logical_and(best, fit >= 0.5), "float32")
    # The first box on an object finds it; further ones are wrong.
    first = ops.cast(ops.equal(ops.cumsum(hits, 1), 1.0), "float32") * hits
    right = ops.cast(ops.any(first > 0, -1), "float32")
    rank = ops.arange(1, right.shape[1] + 1, dtype="float32")
    precision = ops.cumsum(right, 1) / rank
    number = ops.sum(ops.cast(_objects(rows), "float32"), -1)
    found = ops.sum(precision * right, 1) / ops.maximum(number, 1.0)
    return ops.where(number > 0, found, 1.0 - scores[:, 0])
