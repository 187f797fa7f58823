"""Images before and after a network restored them, in rows to compare."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter

from hh_keras.data.resizing import imresize, to_pixels
from hh_keras.report import numbers
from hh_keras.tasks.restoration.evaluation import whole_images
from hh_keras.tasks.restoration.fidelity import psnr

FINDING = (
    "The part of each validation image with the most detail, enlarged, and the PSNR of "
    "that part"
)
_SIDE = 128  # pixels
_TITLES = {
    "input": "before",
    "output": "restored",
    "original": "original's",
    "lw_dna": "LW-DNA's",
    "clean": "clean",
}


def plot_before_after(rows: list[dict[str, np.ndarray]]) -> Figure:
    """Draws the same part of each image in all its versions.

    Args:
        rows: dicts of uint8 images of one size, name → `(height, width, channels)`:
            "input", then any of "output", "original" and "lw_dna", and "clean".

    Returns:
        A matplotlib `Figure`.
    """
    names = [name for name in _TITLES if name in rows[0]]
    figure = Figure((2.9 * len(names), 3.1 * len(rows) + 0.3), layout="constrained")
    grid = figure.subplots(len(rows), len(names), squeeze=False)
    for row, places in zip(rows, grid):
        window = _busiest(row["clean"])
        clean = row["clean"][window]
        for name, axes in zip(names, places):
            part = row[name][window]
            title = _TITLES[name]
            if name != "clean":
                title += f", {numbers.decibels(psnr(clean, part))}"
            axes.imshow(_rgb(part), interpolation="nearest")
            axes.set_title(title, loc="left", fontsize=10, color="#333333")
            axes.set_axis_off()
    return figure


def _busiest(image):
    """The square with the most detail, two slices."""
    height, width = (min(_SIDE, n) for n in image.shape[:2])
    grey = image.mean(-1)
    detail = np.abs(np.diff(grey, axis=0, append=grey[-1:]))
    detail += np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    busy = uniform_filter(detail, (height, width), mode="constant")
    # Of filtered values, those whose window lies within the image.
    y, x = height // 2, width // 2
    inside = busy[y : y + image.shape[0] - height + 1]
    inside = inside[:, x : x + image.shape[1] - width + 1]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return slice(top, top + height), slice(left, left + width)


def _rgb(image):
    return np.repeat(image, 3, -1) if image.shape[-1] == 1 else image


def preview(
    model: Any, dataset: Any, count: int, scale: int = 1
) -> list[dict[str, np.ndarray]]:
    """Images before and after, to look at.

    Returns:
        List of dicts with "input" (enlarged to the size of the others), "output" and
        "clean", uint8 `(height, width, channels)`; at most `count`.
    """
    run = whole_images(model)
    rows: list[dict] = []
    for degraded, clean in dataset.as_numpy_iterator():
        for x, y in zip(degraded, clean):
            if len(rows) == count:
                return rows
            before = imresize(x, scale) if scale > 1 else x
            shown = {"input": before, "output": run(x), "clean": y}
            rows.append({key: to_pixels(image) for key, image in shown.items()})
    return rows
