"""Average precision, by pycocotools."""

import contextlib
import functools
import importlib.util
import io
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import DataError, HHError
from hh_keras.tasks.detection.detections import detections
from hh_keras.tasks.detection.learning import detection_loss, places_of_model
from hh_keras.tasks.detection.places import places_of

Detected = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Boxes `(images, n, 4)`, classes `(images, n)`, scores `(images, n)`."""


def check_measuring() -> None:
    """Raises HHError unless pycocotools is installed."""
    if importlib.util.find_spec("pycocotools") is None:
        raise HHError(
            "detectors are measured by pycocotools, which is not installed: "
            "pip install 'hh_keras[detect]'."
        )


def average_precision(
    rows: np.ndarray, found: Detected, classes: int
) -> dict[str, Any]:
    """AP as COCO defines it, by pycocotools.

    Args:
        rows: `(images, n, 5)`, see `images`.
        found: as many images.
        classes: how many.

    Returns:
        `ap50`, at an IoU of 0.5, and `ap`, the mean over 0.5, 0.55 … 0.95, of the
        classes that there are; `each`, class → `(ap50, ap)`, NaN where there is none.

    Raises:
        HHError: pycocotools is missing.
    """
    check_measuring()
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": k} for k in range(len(rows))],
        "categories": [{"id": k} for k in range(classes)],
        "annotations": _annotations(rows),
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        truth.createIndex()
        answers = _answers(found)
        each = {k: (np.nan, np.nan) for k in range(classes)}
        if not len(answers):
            there = {x["category_id"] for x in truth.dataset["annotations"]}
            each |= {k: (0.0, 0.0) for k in there}
            return {**_means(each), "each": each}
        coco = COCOeval(truth, truth.loadRes(answers), "bbox")
        coco.evaluate()
        coco.accumulate()
    # thresholds, recalls, classes, all sizes of objects, 100 boxes an image
    precision = coco.eval["precision"][:, :, :, 0, -1].mean(1)
    for place, number in enumerate(coco.params.catIds):
        if precision[0, place] >= 0:  # -1: there is no such object
            each[number] = float(precision[0, place]), float(precision[:, place].mean())
    return {**_means(each), "each": each}


def _means(each):
    values = np.array([pair for pair in each.values() if pair[0] == pair[0]])
    if not len(values):
        raise DataError("evaluation: the data set holds not one box to measure on.")
    ap50, ap = values.mean(0)
    return {"ap50": float(ap50), "ap": float(ap)}


def _annotations(rows):
    found = []
    for image, own in enumerate(rows):
        for left, top, right, low, kind in own.astype(float).tolist():
            if right > left:
                found.append(
                    {
                        "id": len(found) + 1,  # 0 would count as no match
                        "image_id": image,
                        "category_id": int(kind if kind >= 0 else -1 - kind),
                        "bbox": [left, top, right - left, low - top],
                        "area": (right - left) * (low - top),
                        "iscrowd": int(kind < 0),
                    }
                )
    return found


def _answers(found):
    """float `(n, 7)`: image, left, top, width, height, score, class."""
    boxes, kinds, scores = found
    image, place = np.nonzero(scores > 0)
    low, high = np.split(boxes[image, place], 2, -1)
    score, kind = scores[image, place], kinds[image, place]
    return np.column_stack([image, low, high - low, score, kind]).astype(float)


def score(model: keras.Model, dataset: Any) -> dict[str, float]:
    """`ap50`, `ap` and `loss` of a detector on batches of `(images, rows)`.

    Raises:
        DataError: there is not a single image, or not a box.
        HHError: outputs are not finite, or pycocotools is missing.
    """
    loss = detection_loss(model)
    losses: list = []

    def told(rows, output):
        losses.extend(keras.ops.convert_to_numpy(loss(rows, output)))

    run = tf.function(lambda images: model(images, training=False))
    rows, found, classes = detect(run, _size(model), dataset, told)
    measured = average_precision(rows, found, classes)
    return {k: measured[k] for k in ("ap50", "ap")} | {"loss": float(np.mean(losses))}


def _size(model):
    places_of_model(model)
    return tuple(model.inputs[0].shape[1:3])


def detect(
    run: Callable,
    size: tuple[int, int],
    dataset: Any,
    told: Callable = lambda rows, output: None,
) -> tuple[np.ndarray, Detected, int]:
    """What a detector finds in a data set.

    Args:
        run: images to a detector's output, wherever it runs.
        size: height and width of its images.
        dataset: batches of `(images, rows)`.
        told: gets each batch's rows and output.

    Returns:
        `(rows, found, classes)`: all rows, what was found, the number of classes.
    """
    every: list[Sequence] = []
    classes = 0
    for images, rows in dataset:
        if not len(images):
            continue
        output = tf.cast(run(images), tf.float32)
        if not np.isfinite(output).all():
            raise HHError(
                "evaluation: the network's outputs are not all finite (NaN or infinite "
                "weights); train it again with a lower learning rate."
            )
        told(rows, output)
        classes = output.shape[-1] - 4
        found = _answering(size, *output.shape[1:])(output)
        every.append([np.asarray(x) for x in (rows, *found)])
    if not every:
        raise DataError("evaluation: the data set holds not a single image.")
    rows, boxes, kinds, scores = (np.concatenate(x) for x in zip(*every))
    return rows, (boxes, kinds, scores), classes


@functools.cache
def _answering(size, number, width):
    """`detections` for batches of any size, traced once."""
    places = places_of(size, number)
    spec = tf.TensorSpec((None, number, width))
    return tf.function(lambda output: detections(output, places), [spec])
