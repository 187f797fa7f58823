"""From a detector's output to boxes, classes and scores: plain operations on tensors.

The same function measures, serves and runs in `.tflite` files.
"""

from typing import Any

import keras
from keras import ops

from hh_keras.tasks.detection import overlaps
from hh_keras.tasks.detection.places import Places, corners, places_of

MOST, CANDIDATES = 100, 300
OVERLAP = 0.6


def detections(
    output: Any, places: Places, most: int = MOST, overlap: float = OVERLAP
) -> tuple[Any, Any, Any]:
    """The best boxes of each image, without those that say the same again.

    Args:
        output: `(batch, places, 4 + classes)`, see `places`.
        places: the detector's.
        most: how many boxes.
        overlap: IoU above which the worse of two boxes of a class is left out.

    Returns:
        `(boxes, classes, scores)`: `(batch, most, 4)`, left, top, right, bottom in the
        network's pixels; int32 `(batch, most)`; float `(batch, most)`, best first, 0
        where there is no box. `most` is less if there are fewer candidates.
    """
    classes = output.shape[-1] - 4
    every = output.shape[1] * classes
    likely = ops.reshape(output[..., 4:], (-1, every))
    logits, chosen = ops.top_k(likely, min(CANDIDATES, every))
    boxes = _rows(corners(output, places), chosen // classes)
    kinds = ops.cast(chosen % classes, "int32")
    scores = ops.sigmoid(logits) * _kept(boxes, kinds, overlap)
    scores, order = ops.top_k(scores, min(most, CANDIDATES, every))
    return _rows(boxes, order), ops.take_along_axis(kinds, order, 1), scores


def _rows(x, places):
    """Rows `(batch, n, 4)` of `(batch, m, 4)`."""
    return ops.take_along_axis(x, ops.repeat(places[..., None], x.shape[-1], -1), 1)


def _kept(boxes, kinds, overlap):
    """1 for boxes that no better one of the same class covers, `(batch, n)`.

    Boxes come best first. A box stays if none of those that stay and are better covers
    it: what greedy suppression finds one by one is the fixed point of that rule, which
    all images reach together, in as many turns as the longest chain of boxes.
    """
    alike = ops.equal(kinds[:, :, None], kinds[:, None, :])
    over = overlaps.iou(boxes[:, :, None], boxes[:, None, :]) > overlap
    number = boxes.shape[1]
    better = ops.arange(number)[:, None] < ops.arange(number)[None, :]
    covers = ops.cast(ops.logical_and(ops.logical_and(alike, over), better), "float32")

    def turn(kept, before):
        covered = ops.matmul(kept[:, None], covers)[:, 0]
        return ops.cast(covered < 0.5, "float32"), kept

    def unsettled(kept, before):
        return ops.any(ops.not_equal(kept, before))

    every = ops.ones_like(covers[:, 0])
    return ops.while_loop(unsettled, turn, turn(every, every * 0.0))[0]


@keras.saving.register_keras_serializable("hh_keras")
class Detections(keras.layers.Layer):
    """`detections` as a layer, for models that end in boxes, classes and scores.

    Args:
        size: height and width of the images.
        most: how many boxes.
    """

    def __init__(
        self, size: tuple[int, int], most: int = MOST, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.size, self.most = (size[0], size[1]), most

    def get_config(self) -> dict:
        return {**super().get_config(), "size": self.size, "most": self.most}

    def call(self, output: Any) -> tuple:
        return detections(output, places_of(self.size, output.shape[1]), self.most)

    def compute_output_shape(self, shape: tuple) -> tuple:
        most = min(self.most, CANDIDATES, shape[1] * (shape[2] - 4))
        return (shape[0], most, 4), (shape[0], most), (shape[0], most)

    def compute_output_spec(self, output: Any) -> tuple:
        boxes, kinds, scores = self.compute_output_shape(output.shape)
        return (
            keras.KerasTensor(boxes, "float32"),
            keras.KerasTensor(kinds, "int32"),
            keras.KerasTensor(scores, "float32"),
        )
