"""A picture of which classes a classifier takes for which."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from hh_keras.report import numbers

_NUMBERED = 20  # classes whose shares can be read in the cells
_NAMED = 60  # classes whose names fit beside the rows
_LISTED = 10  # pairs beside a matrix with names; three times as many without
_GREY = "#d9d9d9"


def plot_confusion(counts: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draws a confusion matrix, and names the pairs confused most.

    Few classes have their names and shares written to the rows and cells; of many, the
    list of pairs says what the eye cannot find.

    Args:
        counts: int `(classes, classes)`, rows are the true classes.
        class_names: a name per class.

    Returns:
        A matplotlib `Figure`.
    """
    counts, classes = np.asarray(counts), len(counts)
    sizes = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(sizes, 1)
    side = float(np.clip(0.45 * classes + 1, 3, 9))
    figure = Figure(figsize=(side + 4, side + 1.2), layout="compressed")
    axes = figure.subplots()
    _matrix(figure, axes, np.where(sizes > 0, shares, np.nan))
    if classes <= _NAMED:
        _name_classes(axes, class_names)
    else:
        axes.set(xticks=[], yticks=[])
    axes.set_xlabel("taken for")
    axes.set_ylabel("true class")
    lines = _most_confused(shares, class_names)
    if not sizes.all():
        lines += ["", f"Grey rows: no images ({int((sizes == 0).sum())})"]
    text = axes.text(1.03, 1, "\n".join(lines), fontsize=9, parse_math=False)
    text.set(va="top", transform=axes.transAxes)
    accuracy = numbers.percent(np.trace(counts) / max(counts.sum(), 1))
    title = f"{accuracy} of {counts.sum():,} images are classified right"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
    return figure


def _matrix(figure, axes, shares):
    colors = matplotlib.colormaps["Blues"].with_extremes(bad=_GREY)
    # Errors are what is looked for; evenly spread colours would leave them white.
    norm = PowerNorm(0.5, vmin=0, vmax=1)
    image = axes.imshow(shares, cmap=colors, norm=norm, interpolation="nearest")
    axes.spines[:].set_color("#bbbbbb")
    axes.tick_params(color="#bbbbbb", labelcolor="#333333")
    if len(shares) <= _NUMBERED:
        _write_shares(axes, shares)
        return
    ticks = [0, 0.01, 0.05, 0.2, 0.5, 1]
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.5, aspect=40)
    bar.set_ticks(ticks, labels=[f"{100 * tick:.0f} %" for tick in ticks], fontsize=8)
    bar.outline.set_color("#bbbbbb")


def _write_shares(axes, shares):
    """Writes percentages into the cells, those that are not 0."""
    for row, column in zip(*np.nonzero(np.nan_to_num(100 * shares).round())):
        share = shares[row, column]
        color = "white" if share > 0.3 else "#333333"
        font = {"ha": "center", "va": "center", "fontsize": 9, "color": color}
        axes.text(column, row, f"{100 * share:.0f}", **font)


def _name_classes(axes, class_names):
    names = [_short(name, 18) for name in class_names]
    # Names are the user's: a dollar sign is no formula.
    font = {"fontsize": 9 if len(names) <= _NUMBERED else 6, "parse_math": False}
    axes.set_xticks(range(len(names)), names, rotation=90, **font)
    axes.set_yticks(range(len(names)), names, **font)


def _most_confused(shares, class_names):
    """Lines of text on the largest shares beside the diagonal."""
    apart = shares - np.diag(np.diag(shares))
    most = _LISTED if len(shares) <= _NAMED else 3 * _LISTED
    order = np.argsort(-apart, axis=None, kind="stable")[:most]
    pairs = [
        f"{100 * apart[pair]:3.0f}  "
        f"{_short(class_names[pair[0]])} → {_short(class_names[pair[1]])}"
        for pair in zip(*np.unravel_index(order, apart.shape))
        if apart[pair] > 0
    ]
    return ["Confused most, % of a class:", *(pairs or ["none"])]


def _short(name, most=18):
    """Keeps both ends: names of many classes start or end alike."""
    head = most // 2
    return name if len(name) <= most else f"{name[:head]}…{name[head + 1 - most :]}"
