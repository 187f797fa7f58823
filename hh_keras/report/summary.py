"""The picture of all at a glance."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from hh_keras.goal import Goal
from hh_keras.report import numbers
from hh_keras.report.channels import channel_counts
from hh_keras.report.comparison import compare, verdict
from hh_keras.report.layers import (
    CHANGES_PER_ROW,
    bars,
    label_panel,
    name_layers,
    outline,
)
from hh_keras.report.style import FILL, GREY, INK, LEGEND, headline, plain_axes


def plot_summary(models: Mapping, goal: Goal, title: str = "") -> Figure:
    """Draws all at a glance: channels per layer, and LW-DNA relative to the original.

    Args:
        models: `models` of the results, see `hh_keras.report`.
        goal: the task's.
        title: of the run; stands in front of the finding.

    Examples:
        >>> figure = hh_keras.report.plot_summary(networks, goal, "net on my data")
        >>> figure.savefig("summary.png")
    """
    figure = Figure(figsize=(14, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[2.2, 1])
    names, before, after = channel_counts(models)
    if len(names) <= CHANGES_PER_ROW:
        bars(left, before, after)
    else:
        outline(left, before, after)
    name_layers(left, names, 32)
    label_panel(left, "output channels of each layer")
    left.legend(**LEGEND)
    _relative_bars(right, models, goal)
    finding = verdict(models, goal).rstrip(".")
    return headline(figure, f"{title}: {finding}" if title else finding)


def _relative_bars(axes, models, goal):
    """LW-DNA as a share of the original, for the quantities that decide."""
    wanted = (goal.label, "MACs", "parameters", ".tflite file", "latency")
    rows = [row for row in compare(models, goal) if row.label in wanted]
    rows = [row for row in rows if row.ratio is not None]
    at = np.arange(len(rows))
    ratios = [row.ratio for row in rows]
    axes.barh(at, [1] * len(rows), 0.5, color=FILL["original"])
    axes.barh(at, ratios, 0.24, color=FILL["lw_dna"])
    for y, row in zip(at, rows):
        before, after = (text.split(" (")[0] for text in (row.original, row.lw_dna))
        axes.text(0, y - 0.31, row.label, fontsize=9.5, weight="bold", va="bottom")
        right = max(1, *ratios)
        axes.text(
            right,
            y - 0.31,
            f"{before} → {after}  ({row.change})",
            fontsize=9,
            ha="right",
            va="bottom",
            color=INK["lw_dna"],
        )
    axes.set_xlim(0, max([1.02, *ratios]))
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.set_yticks([])
    axes.set_title("LW-DNA / original", loc="left", fontsize=10, color=GREY)
    axes.xaxis.set_major_formatter(lambda x, _: numbers.rough_percent(x))
    plain_axes(axes)
    axes.spines["left"].set_visible(False)
