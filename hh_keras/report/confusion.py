"""A picture of which classes a classifier takes for which."""

import numpy as np
from matplotlib.figure import Figure

_NUMBERED = 20  # classes whose shares can be read in the cells
_NAMED = 60  # classes whose names fit beside the rows
_LISTED = 8


def plot_confusion(counts, class_names):
    """Draws a confusion matrix, and names the pairs confused most.

    Args:
        counts: int `(classes, classes)`, rows are the true classes.
        class_names: a name per class.

    Returns:
        A matplotlib `Figure`.
    """
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = float(np.clip(0.45 * classes, 5, 9))
    figure = Figure(figsize=(size + 3.6, size + 0.9), layout="constrained")
    axes, side = figure.subplots(1, 2, width_ratios=[size, 2.6])
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    if classes <= _NAMED:
        names = [_short(name, 18) for name in class_names]
        font = {"fontsize": 9 if classes <= _NUMBERED else 6}
        axes.set_xticks(range(classes), names, rotation=90, **font)
        axes.set_yticks(range(classes), names, **font)
    if classes <= _NUMBERED:
        for row, column in zip(*np.nonzero(shares >= 0.005)):
            share = shares[row, column]
            color = "white" if share > 0.5 else "#333333"
            text = f"{100 * share:.0f}"
            axes.text(
                column, row, text, ha="center", va="center", color=color, fontsize=9
            )
    accuracy = np.trace(counts) / max(counts.sum(), 1)
    figure.suptitle(
        f"{accuracy:.1%} of {counts.sum():,} images are classified right",
        x=0.01, ha="left", fontsize=12, weight="bold",
    )  # fmt: skip
    _list(side, shares, class_names)
    return figure


def _list(axes, shares, class_names):
    axes.axis("off")
    apart = shares - np.diag(np.diag(shares))
    order = np.argsort(apart, axis=None)[::-1][:_LISTED]
    lines = ["Confused most, % of a class:", ""]
    for row, column in zip(*np.unravel_index(order, apart.shape)):
        if apart[row, column] > 0:
            pair = f"{_short(class_names[row])} → {_short(class_names[column])}"
            lines.append(f"{100 * apart[row, column]:3.0f}  {pair}")
    axes.text(0, 1, "\n".join(lines), va="top", fontsize=9, parse_math=False)


def _short(name, most=14):
    return name if len(name) <= most else name[: most - 1] + "…"
