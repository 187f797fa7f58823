"""Images with boxes drawn: those that are right, and those that networks found."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image, ImageDraw

from hh_keras.report.style import GREY, NAMES
from hh_keras.tasks.detection.evaluation import detect

FINDING = "Validation images with the boxes whose score is above 30 of 100"
SHOWN = 0.3  # score
TRUTH = "truth"
_COLORS = ("#ffb000", "#2f86c9", "#e0457b", "#1bb37c", "#9b6fd3", "#f2f2f2")


def preview(model: Any, dataset: Any, count: int) -> list[dict[str, np.ndarray]]:
    """Images with boxes, to look at.

    Returns:
        List of dicts with "truth" and "output", uint8 `(height, width, 3)`; at most
        `count`.
    """
    images, truth, found = first_detections(model, dataset, count)
    return [
        {TRUTH: _drawn(image, own), "output": _drawn(image, told)}
        for image, own, told in zip(images, truth, found)
    ]


def first_detections(
    model: keras.Model | Callable, dataset: Any, count: int
) -> tuple[np.ndarray, list, list]:
    """The first images of a data set, what is in them and what a detector finds.

    Args:
        model: a detector, or a function of images to its output.
        dataset: batches of `(images, rows)`.
        count: of images, at most.

    Returns:
        `(images, truth, found)`: uint8 `(n, height, width, 3)`, and for each image
        float rows `(boxes, 6)`: left, top, right, bottom, class, score.
    """
    few = dataset.unbatch().take(count).batch(count)
    images = next(iter(few))[0]
    size = tuple(images.shape[1:3])
    run = model
    if isinstance(model, keras.Model):
        run = tf.function(lambda x: model(x, training=False))
    rows, (boxes, kinds, scores), _ = detect(run, size, few)
    truth = [np.column_stack([r, r[:, 4]])[r[:, 2] > r[:, 0]] for r in rows]
    for own in truth:
        own[:, 5] = 1.0
    answers = np.concatenate([boxes, kinds[..., None], scores[..., None]], -1)
    found = [each[each[:, 5] > SHOWN] for each in answers]
    return images.numpy().astype(np.uint8), truth, found


def _drawn(image, rows):
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    for row in rows:
        low, high = np.minimum(row[:2], row[2:4]), np.maximum(row[:2], row[2:4])
        pen.rectangle([*low.tolist(), *high.tolist()], outline=_color(row[4]))
    return np.asarray(canvas)


def _color(kind):
    kind = int(kind)
    return _COLORS[(kind if kind >= 0 else -1 - kind) % len(_COLORS)]


def plot_detections(
    images: np.ndarray,
    columns: Mapping[str, Sequence[np.ndarray]],
    class_names: Sequence[str],
) -> Figure:
    """Draws the boxes of the truth and of networks, a row for each image.

    Args:
        images: uint8 `(n, height, width, 3)`.
        columns: name → for each image rows as of `first_detections`.
        class_names: of the boxes.
    """
    height, width = images.shape[1:3]
    tall = 12 / len(columns) * height / width
    figure = Figure((12, tall * len(images) + 0.6), layout="constrained")
    grid = figure.subplots(len(images), len(columns), squeeze=False)
    for image, line, place in zip(images, grid, range(len(images))):
        for axes, (name, rows) in zip(line, columns.items()):
            axes.imshow(image, extent=(0, width, height, 0))
            axes.set_axis_off()
            for row in rows[place]:
                _box(axes, row, name != TRUTH)
            if not place:
                title = NAMES.get(name, name)
                axes.set_title(title, loc="left", fontsize=10, color=GREY)
    marks = [
        Rectangle((0, 0), 1, 1, fill=False, edgecolor=_color(k), label=name)
        for k, name in enumerate(class_names[: len(_COLORS)])
    ]
    figure.legend(
        handles=marks,
        loc="outside lower left",
        ncols=len(marks),
        frameon=False,
        fontsize=9,
    )
    return figure


def _box(axes, row, scored):
    left, top, right, low, kind, score = row
    color = _color(kind)
    outline = Rectangle(
        (left, top), right - left, low - top, fill=False, edgecolor=color, linewidth=1.6
    )
    shade = [withStroke(linewidth=2.6, foreground="#222222", alpha=0.6)]
    outline.set_path_effects(shade)
    axes.add_patch(outline)
    if scored:
        axes.text(
            left,
            top,
            f"{100 * score:.0f}",
            va="top",
            fontsize=7,
            color="white",
            bbox={"facecolor": color, "edgecolor": "none", "pad": 0.8},
        )
