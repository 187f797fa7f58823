"""The picture of both trainings, epoch by epoch."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from hh_keras.goal import Goal
from hh_keras.report import numbers
from hh_keras.report.numbers import known
from hh_keras.report.style import GREY, INK, LINE, NAMES, headline, plain_axes


def plot_curves(history: Mapping, goal: Goal) -> Figure:
    """Draws accuracy, or what else is the goal, and loss over the epochs of training.

    Args:
        history: `history` of the results, see `hh_keras.report`; may be empty.
        goal: the task's.

    Examples:
        >>> rows = [{"epoch": 1, "loss": 1.2, "val_loss": 1.3, "val_accuracy": 0.6}]
        >>> history = {"original": rows, "lw_dna": rows}
        >>> figure = hh_keras.report.plot_curves(history, goal)
        >>> figure.savefig("curves.png")
    """
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    count = 1 if goal.key == "loss" else 2
    panels = zip(
        figure.subplots(1, count, squeeze=False)[0],
        (goal.key, "loss"),
        (goal.label, "loss"),
        (goal.write, numbers.decimals),
    )
    for axes, key, label, write in panels:
        _curves(axes, history, key, write)
        axes.set_title(label, loc="left", fontsize=10, color=GREY)
    figure.axes[0].yaxis.set_major_formatter(goal.axis)
    return headline(figure, curves_finding(history, goal))


def curves_finding(history: Mapping, goal: Goal) -> str:
    """Says in one sentence how training ended."""
    rows = {name: history.get(name) or [] for name in NAMES}
    last = [
        rows[name][-1].get(f"val_{goal.key}") if rows[name] else None for name in rows
    ]
    if not rows["original"] and known(last[1]):
        return f"LW-DNA ends at {goal.write(last[1])} validation {goal.label}"
    if not all(map(known, last)):
        return "Training of both networks"
    count = len(rows["lw_dna"])
    original, slim = map(goal.write, last)
    return (
        f"After {count} epoch{'s' if count > 1 else ''} LW-DNA has {slim} validation "
        f"{goal.label}, the original {original} ({goal.write_change(*last)})"
    )


def _curves(axes, history, key, write):
    """Validation (solid) and training (dashed) curves with their last values."""
    ends = []
    for name, label in NAMES.items():
        for prefix, split, line in (
            ("", "training", "--"),
            ("val_", "validation", "-"),
        ):
            rows = [
                (row.get("epoch", number), row[prefix + key])
                for number, row in enumerate(history.get(name) or [], 1)
                if known(row.get(prefix + key))
            ]
            if not rows:
                continue
            x, y = zip(*rows)
            axes.plot(
                x,
                y,
                line,
                color=LINE[name],
                linewidth=2 if prefix else 1,
                marker="o" if len(rows) <= 12 else None,
                markersize=4 if prefix else 3,
            )
            ends.append((y[-1], x[-1], f"{label}, {split} {write(y[-1])}", INK[name]))
    if not ends:
        axes.text(0.5, 0.5, "not recorded", ha="center", transform=axes.transAxes)
    _cut_outliers(axes)
    _label_ends(axes, ends)
    epochs = max((end[1] for end in ends), default=1)
    axes.set_xlim(1 - 0.05 * epochs, 1.03 * epochs)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.set_xlabel("epoch", fontsize=9, color=GREY)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    plain_axes(axes)


def _cut_outliers(axes):
    """Ends the axis early where a few high values would flatten all others.

    The validation loss of a first epoch can be a hundred times any later one.
    """
    values = np.concatenate([line.get_ydata() for line in axes.lines] or [[0]])
    limit = 2.5 * np.quantile(values, 0.75)
    if limit <= 0 or values.max() <= 2 * limit:
        return
    axes.set_ylim(0, limit)
    axes.text(
        0.98,
        0.98,
        f"cut off above; highest value {values.max():.3g}",
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=8.5,
        color=GREY,
    )


def _label_ends(axes, ends):
    """Writes labels right of the curves' ends, moved apart where they would touch."""
    low, high = axes.get_ylim()
    gap = 0.065 * (high - low)
    ends = sorted((min(y, high), *rest) for y, *rest in ends)
    heights = [end[0] for end in ends]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    excess = max(0, heights[-1] - high) if heights else 0
    for place, (y, x, text, color) in zip(heights, ends):
        axes.annotate(
            text,
            (x, y),
            xytext=(1.03, (place - excess - low) / (high - low)),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=color,
            arrowprops={
                "arrowstyle": "-",
                "color": "#cccccc",
                "linewidth": 0.6,
                "relpos": (0, 0.5),
            },
        )
