"""What segmenters learn by: cross-entropy and Dice; and the overlap, image by image."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from hh_keras.graph.heads import from_logits
from hh_keras.tasks.segmentation.classes import IGNORED

_LEAST = 1e-7  # probability, as Keras clips them


def segmentation_loss(model: keras.Model) -> Callable:
    """Cross-entropy and Dice, of each image.

    Mean cross-entropy of the pixels that count, plus the mean of `1 − Dice` over the
    classes that are in the image, with Dice = 2 Σ p·y / (Σ p + Σ y).

    Args:
        model: a network that ends in logits or softmax.

    Returns:
        `f(masks, outputs) → (batch,)`; masks `(batch, h, w)` hold classes or `IGNORED`.

    Reference: Milletari et al., V-Net, 3DV 2016, arXiv:1606.04797.
    """
    are_logits = from_logits(model)

    def loss(masks, outputs):
        outputs = ops.cast(outputs, "float32")
        if are_logits:
            logs = ops.log_softmax(outputs, -1)
        else:
            logs = ops.log(ops.clip(outputs, _LEAST, 1.0))
        truth, counts = _one_hot(masks, logs.shape[-1])
        pixels = ops.maximum(ops.sum(counts, (1, 2)), 1.0)
        entropy = -ops.sum(truth * logs, (1, 2, 3)) / pixels
        shares = ops.exp(logs) * counts[..., None]
        there = ops.sum(truth, (1, 2))
        both = ops.sum(shares * truth, (1, 2))
        dice = (2 * both + 1) / (ops.sum(shares, (1, 2)) + there + 1)
        return entropy + _mean(1 - dice, there > 0)

    return loss


def overlap(masks: Any, outputs: Any) -> Any:
    """Mean intersection over union of each image.

    Args:
        masks: `(batch, h, w)`, classes or `IGNORED`.
        outputs: `(batch, h, w, classes)`; the largest is a network's answer.

    Returns:
        float32 `(batch,)`: means over the classes that are in the mask or in the
        answer; NaN for images in which nothing counts.
    """
    classes = outputs.shape[-1]
    truth, counts = _one_hot(masks, classes)
    said = ops.one_hot(ops.argmax(outputs, -1), classes) * counts[..., None]
    both = ops.sum(said * truth, (1, 2))
    either = ops.sum(said, (1, 2)) + ops.sum(truth, (1, 2)) - both
    found = _mean(both / ops.maximum(either, 1.0), either > 0)
    return ops.where(ops.any(either > 0, -1), found, float("nan"))


def _one_hot(masks, classes):
    """float32 `(batch, h, w, classes)`, and which pixels count `(batch, h, w)`."""
    masks = ops.cast(masks, "int32")
    counts = masks != IGNORED
    truth = ops.one_hot(ops.where(counts, masks, -1), classes)
    return truth, ops.cast(counts, "float32")


def _mean(values, which):
    which = ops.cast(which, "float32")
    return ops.sum(values * which, -1) / ops.maximum(ops.sum(which, -1), 1.0)
