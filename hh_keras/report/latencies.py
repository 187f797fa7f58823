"""A picture of how long files take."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

_FIRST, _OTHERS = "#51687f", "#e8710a"


def plot_latencies(found: Mapping) -> Figure:
    """Draws the spread of every file's times, and its ratio to the first.

    Args:
        found: a dict with `threads` and `files`; each file has a `name` and the fields
            of `hh_keras.export.Latency`.

    Returns:
        A matplotlib `Figure`.
    """
    files = found["files"]
    figure = Figure((8, 1.4 + 0.5 * len(files)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(files))
    low, middle, high = (
        np.array([each[key] for each in files])
        for key in ("p10_ms", "median_ms", "p90_ms")
    )
    colours = [_FIRST] + [_OTHERS] * (len(files) - 1)
    axes.hlines(rows, low, high, color=colours, lw=5, alpha=0.55)
    axes.scatter(middle, rows, color=colours, s=70, zorder=3)
    for row, each in enumerate(files):
        label = f"{each['median_ms']:.3g} ms"
        if row:
            label += f"  ({each['ratio']:.2f} x the first)"
        axes.annotate(
            label, (1.01, row), xycoords=("axes fraction", "data"), va="center",
            fontsize=9,
        )  # fmt: skip
    if middle.max() > 8 * middle.min():
        axes.set_xscale("log")
    else:
        axes.set_xlim(0, 1.05 * high.max())
    axes.grid(axis="x", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_ylim(-0.6, len(files) - 0.4)
    names = [textwrap.fill(each["name"], 32) for each in files]
    axes.set_yticks(rows, names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds: dot median, band 10 to 90 %")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    threads = found["threads"]
    axes.set_title(
        f"Latency, {files[0]['runs']} rounds in turns, "
        f"{threads} thread{'s' if threads > 1 else ''}",
        loc="left",
        fontsize=11,
    )
    return figure
