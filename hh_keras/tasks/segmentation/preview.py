"""Images, masks and answers, in colours to compare."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np

from hh_keras.tasks.segmentation.classes import IGNORED
from hh_keras.tasks.segmentation.whole import outputs_of

_OPAQUE = 0.6
_LISTED = 20  # colours that are told apart by name


def colours(count: int) -> np.ndarray:
    """A colour of each class, uint8 `(count, 3)`."""
    if count <= _LISTED:
        kind = "tab10" if count <= 10 else "tab20"
        found = matplotlib.colormaps[kind](np.arange(count))
    else:
        found = matplotlib.colormaps["hsv"](np.arange(count) / count)
    return np.rint(255 * found[:, :3]).astype(np.uint8)


def overlay(
    image: np.ndarray, mask: np.ndarray, count: int, clear: Sequence[int] = ()
) -> np.ndarray:
    """An image with its classes in colours.

    Args:
        image: `(h, w, 1 or 3)`, 0 to 255.
        mask: integers `(h, w)`, classes or `IGNORED`, which is left as the image is.
        count: of classes.
        clear: classes that are left as the image is.

    Returns:
        uint8 `(h, w, 3)`.
    """
    pixels = np.broadcast_to(image, (*mask.shape, 3)).astype(float)
    shown = ~np.isin(mask, [IGNORED, *clear])
    tint = colours(count)[np.where(shown, mask, 0)]
    mixed = np.where(shown[..., None], pixels + _OPAQUE * (tint - pixels), pixels)
    return np.rint(mixed).astype(np.uint8)


def preview(
    model: Any, dataset: Any, count: int, clear: Sequence[int] = ()
) -> list[dict[str, np.ndarray]]:
    """Images to look at.

    Args:
        model: as `hh_keras.tasks.segmentation.whole.outputs_of` takes it.
        dataset: batches of (images, masks).
        count: how many at most.
        clear: classes that are not coloured.

    Returns:
        List of dicts with "input", "output" and "truth", uint8 `(h, w, 3)`; the last
        two are the image with classes in colours.
    """
    run, rows = outputs_of(model), list[dict]()
    for images, masks in dataset.as_numpy_iterator():
        for image, mask in zip(images, masks):
            if len(rows) == count:
                return rows
            outputs = run(image)
            classes = outputs.shape[-1]
            plain = overlay(image, np.full(mask.shape, IGNORED), classes)
            rows.append(
                {
                    "input": plain,
                    "output": overlay(image, outputs.argmax(-1), classes, clear),
                    "truth": overlay(image, mask, classes, clear),
                }
            )
    return rows
