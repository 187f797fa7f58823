"""Pictures of the report: overlays with the list of classes, and IoU by class."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hh_keras.report import numbers
from hh_keras.report.style import FILL, NAMES, headline, plain_axes
from hh_keras.tasks.segmentation.preview import colours

OVERLAYS = "Validation images with the class of every pixel; what is ignored stays bare"
BY_CLASS = "Intersection over union of each class, over all validation images"
_TITLES = {
    "input": "image",
    "truth": "mask",
    "output": "found",
    "original": "original's",
    "lw_dna": "LW-DNA's",
}
_OTHER = "#e8710a"


def clear_classes(names: Sequence[str]) -> tuple[int, ...]:
    """Classes that are left bare: the background, if one is called so."""
    return tuple(k for k, name in enumerate(names) if name.lower() == "background")


def plot_overlays(
    rows: list[dict[str, np.ndarray]], class_names: Sequence[str]
) -> Figure:
    """Draws images, masks and answers side by side.

    Args:
        rows: dicts of uint8 images of one size, name → `(h, w, 3)`: "input", "truth",
            and any of "output", "original" and "lw_dna".
        class_names: a name per class.

    Returns:
        A matplotlib `Figure`.
    """
    names = [name for name in _TITLES if name in rows[0]]
    heights = [row["input"].shape[0] / row["input"].shape[1] for row in rows]
    high = sum(heights)
    keys = -(-len(class_names) // 6)
    size = (2.9 * len(names), 2.9 * high + 0.3 * len(rows) + 0.25 * keys + 0.2)
    figure = Figure(size, layout="constrained")
    grid = figure.subplots(len(rows), len(names), squeeze=False, height_ratios=heights)
    for number, (row, places) in enumerate(zip(rows, grid)):
        for name, axes in zip(names, places):
            axes.imshow(row[name], interpolation="nearest")
            axes.set_axis_off()
            if number == 0:
                axes.set_title(_TITLES[name], loc="left", fontsize=10, color="#333333")
    clear = clear_classes(class_names)
    patches = [
        Patch(color=tint / 255, label=name)
        for number, (name, tint) in enumerate(
            zip(class_names, colours(len(class_names)))
        )
        if number not in clear
    ]
    figure.legend(
        handles=patches, loc="outside lower left", ncols=6, fontsize=9, frameon=False
    )
    return figure


def plot_by_class(
    found: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> Figure:
    """Draws the intersection over union of each class.

    Args:
        found: name of the network → float `(classes,)`; NaN where there is none.
        class_names: a name per class.

    Returns:
        A matplotlib `Figure`.
    """
    count, networks = len(class_names), len(found)
    figure = Figure((7, 0.3 * count * networks + 1.4), layout="constrained")
    axes, high = figure.subplots(), 0.8 / networks
    for number, (name, values) in enumerate(found.items()):
        places = np.arange(count) + (number - (networks - 1) / 2) * high
        shown = np.nan_to_num(values)
        label = f"{NAMES.get(name, name)}, mean {numbers.percent(np.nanmean(values))}"
        axes.barh(places, shown, high, color=FILL.get(name, _OTHER), label=label)
        for place, value in zip(places, values):
            text = numbers.percent(float(value))
            axes.text(np.nan_to_num(value), place, f" {text}", va="center", fontsize=8)
    axes.set(xlim=(0, 1.12), ylim=(count - 0.4, -0.6))
    axes.set_yticks(range(count), class_names, parse_math=False)
    axes.set_xticks([])
    plain_axes(axes)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", labelsize=9)
    figure.legend(loc="outside lower left", ncols=networks, fontsize=9, frameon=False)
    return headline(figure, _finding(found, class_names))


def _finding(found, class_names):
    """What is worst, of the last network."""
    values = list(found.values())[-1]
    if np.isnan(values).all():
        return "No class is there"
    worst = int(np.nanargmin(values))
    name = NAMES.get(list(found)[-1], "the network")
    share = numbers.percent(float(values[worst]))
    return f"{name} finds '{class_names[worst]}' worst: {share}"
