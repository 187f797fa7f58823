"""Bars for every layer of both networks, in as many rows as it takes to read them."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hh_keras.report import numbers
from hh_keras.report.style import FILL, GREY, INK, LEGEND, NAMES, plain_axes

CHANGES_PER_ROW = 55  # more bars than this leave no room for numbers above them
NAMES_PER_ROW = 70


def layer_rows(parts: Sequence[tuple], per_row: int) -> Figure:
    """A figure of bars per layer, broken into as many rows as it takes to read them.

    Args:
        parts: tuples `(title, names, before, after)`.
        per_row: number of layers in a row, exceeded only above eight rows.
    """
    panels = []
    for title, names, *values in parts:
        count = max(1, min(8, math.ceil(len(names) / per_row)))
        for number, row in enumerate(np.array_split(np.arange(len(names)), count)):
            heading = f"{title} ({number + 1} of {count})" if count > 1 else title
            panels.append((heading, [names[i] for i in row], *(v[row] for v in values)))
    longest = max(len(names) for _, names, *_ in panels)
    letters = max((len(_short(n)) for _, names, *_ in panels for n in names), default=0)
    width = min(12.0, max(8.0, 3 + 0.42 * longest))
    height = 2.5 + 0.055 * letters
    figure = Figure(figsize=(width, 0.6 + height * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, (heading, names, before, after) in zip(grid, panels):
        bars(axes, before, after)
        if longest <= CHANGES_PER_ROW:
            _write_changes(axes, before, after)
            heading += "; above: change in %"
        axes.set_xlim(-0.8, longest - 0.2)
        name_layers(axes, names, NAMES_PER_ROW)
        label_panel(axes, heading)
    grid[0].legend(**LEGEND)
    return figure


def bars(axes: Axes, before: np.ndarray, after: np.ndarray) -> None:
    """A wide bar per layer of the original, a narrow one of LW-DNA before it."""
    at = np.arange(len(before))
    axes.bar(at, before, 0.84, color=FILL["original"], label=NAMES["original"])
    axes.bar(at, after, 0.4, color=FILL["lw_dna"], label=NAMES["lw_dna"])
    axes.set_xlim(-0.8, len(before) - 0.2)


def outline(axes: Axes, before: np.ndarray, after: np.ndarray) -> None:
    """The same for layers too many for bars: an area, and an outline before it."""
    edges = np.arange(len(before) + 1) - 0.5
    axes.stairs(
        before, edges, fill=True, color=FILL["original"], label=NAMES["original"]
    )
    axes.stairs(
        after, edges, color=FILL["lw_dna"], linewidth=1.3, label=NAMES["lw_dna"]
    )
    axes.set_xlim(edges[0], edges[-1])


def name_layers(axes: Axes, names: Sequence[str], limit: int) -> None:
    """Writes at most `limit` of the layers' names below the bars."""
    at = range(0, len(names), max(1, math.ceil(len(names) / limit)))
    shown = [_short(names[i]) for i in at]
    # Names are the user's: a dollar sign is no formula.
    axes.set_xticks(at, shown, rotation=90, fontsize=7, parse_math=False)
    axes.tick_params(axis="x", length=0, pad=1)


def label_panel(axes: Axes, title: str) -> None:
    """Titles a panel of counts."""
    axes.set_title(title, loc="left", fontsize=10, color=GREY)
    axes.locator_params(axis="y", integer=True)
    axes.yaxis.set_major_formatter(lambda y, _: numbers.tick(y))
    plain_axes(axes)


def total_share(before: np.ndarray | float, after: np.ndarray | float) -> str:
    """The share that is left of sums, as text."""
    before, after = np.sum(before), np.sum(after)
    return numbers.rough_percent(float(after / before) if before else None)


def _write_changes(axes, before, after):
    """Writes the change of each layer in percent above its bars."""
    top = max([1, *before, *after])
    axes.set_ylim(0, 1.2 * top)
    upright = len(before) > 30
    for at, (old, new) in enumerate(zip(before, after)):
        change = round(100 * (float(new) / float(old) - 1)) if old else 0
        text = f"{change:+d}".replace("-", "−") if change else "0"
        axes.text(
            at,
            max(old, new) + 0.02 * top,
            text,
            ha="center",
            va="bottom",
            rotation=90 if upright else 0,
            fontsize=7 if upright else 8,
            color=INK["lw_dna"] if change else GREY,
        )


def _short(name, limit=26):
    return name if len(name) <= limit else f"{name[:12]}…{name[-13:]}"
