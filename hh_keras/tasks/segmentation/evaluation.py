"""How well a network segments the images of a data set."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from hh_keras.errors import DataError, HHError
from hh_keras.tasks.segmentation.classes import IGNORED
from hh_keras.tasks.segmentation.scores import counted, summary
from hh_keras.tasks.segmentation.whole import outputs_of


def evaluated(
    model: Any, dataset: Any, loss: Callable | None = None
) -> tuple[dict[str, float], np.ndarray]:
    """Scores a network, wherever it runs, on whole images.

    Args:
        model: as `hh_keras.tasks.segmentation.whole.outputs_of` takes it.
        dataset: tf.data dataset of (images, masks) batches.
        loss: `f(masks, outputs) → (batch,)`; None leaves it out.

    Returns:
        `(scores, counts)`: miou and pixel_accuracy over all pixels of all images, and
        loss, the mean over the images; pixels by class, see `scores.counted`.

    Raises:
        DataError: the dataset holds not a pixel that counts.
        HHError: an output is NaN or infinite.
    """
    run = outputs_of(model)
    counts, losses = None, []
    for images, masks in dataset.as_numpy_iterator():
        for image, mask in zip(images, masks):
            outputs = run(image)
            if not np.isfinite(outputs).all():
                raise HHError(
                    "evaluation: the network's outputs are not all finite (NaN or "
                    "infinite weights); train it again with a lower learning rate."
                )
            _check_fits(mask, outputs)
            found = counted(mask, outputs.argmax(-1), outputs.shape[-1])
            counts = found if counts is None else counts + found
            if loss is not None:
                losses.append(float(ops.mean(loss(mask[None], outputs[None]))))
    if counts is None or not counts.sum():
        raise DataError(
            "evaluation: the data set holds not a single pixel that counts."
        )
    scores = {"loss": float(np.mean(losses))} if losses else {}
    return {**scores, **summary(counts)}, counts


def _check_fits(mask, outputs):
    if mask.shape != outputs.shape[:2]:
        raise DataError(
            f"evaluation: the network gives {outputs.shape[:2]} pixels of an image of "
            f"{mask.shape}; its outputs must be as high and wide as its images."
        )
    largest = mask.max(initial=0, where=mask != IGNORED)
    if largest >= outputs.shape[-1]:
        raise DataError(
            f"evaluation: the network knows {outputs.shape[-1]} classes, but the masks "
            f"hold class {largest}, counted from 0: choose the data set that it was "
            "trained on."
        )
