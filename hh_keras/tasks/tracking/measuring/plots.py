"""Pictures of tracking: success and precision of several trackers, and their boxes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from hh_keras.report.style import GREY, LINE, NAMES, plain_axes
from hh_keras.tasks.tracking.data.sequence import Video
from hh_keras.tasks.tracking.measuring.measures import OVERLAPS, PIXELS, Measures

TRUTH = "truth"
_TRUTH_LINE = {
    "color": "white",
    "linestyle": (0, (4, 2)),
    "linewidth": 1.2,
    "zorder": 4,
}
_OTHERS = ("#1b7f5c", "#7b4fa3", "#2f86c9", "#b3373a", "#857018", "#c2569b")
_DASHES = ((0, (6, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), "-")


def plot_success(trackers: Mapping[str, Measures]) -> Figure:
    """Draws OTB's two plots, a line for each tracker, the best first in the legends.

    Args:
        trackers: mean measures by name; "original" and "lw_dna" look as everywhere.
    """
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    lines = _lines(trackers)
    _curves(left, OVERLAPS, {n: (m.success, m.auc) for n, m in trackers.items()}, lines)
    _labels(left, "success (area under the curve)", "overlap is above")
    scored = {n: (m.precision, m.precision20) for n, m in trackers.items()}
    _curves(right, PIXELS, scored, lines)
    right.axvline(20, color="#cccccc", linewidth=0.8, zorder=0)
    _labels(right, "precision (at 20 pixels)", "middle is off by at most, pixels")
    return figure


def _lines(names):
    """How each tracker is drawn."""
    others = [name for name in names if name not in LINE]
    lines = {
        name: {"color": color, "linewidth": 2.2, "zorder": 3}
        for name, color in LINE.items()
    }
    for k, name in enumerate(others):
        color = _OTHERS[k % len(_OTHERS)]
        dash = _DASHES[k % len(_DASHES)]
        lines[name] = {"color": color, "linewidth": 1.6, "linestyle": dash}
    return lines


def _curves(axes, x, scored, lines):
    ranked = sorted(scored.items(), key=lambda item: np.nan_to_num(-item[1][1], nan=9))
    for name, (y, score) in ranked:
        label = f"{score:.3f}  {NAMES.get(name, name)}"
        axes.plot(x, y, label=label, **lines[name])


def _labels(axes: Axes, title: str, threshold: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=GREY)
    axes.set_xlabel(threshold, fontsize=9, color=GREY)
    axes.set_ylabel("share of frames", fontsize=9, color=GREY)
    axes.set_ylim(0, 1)
    axes.margins(x=0)
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    axes.legend(loc="best", fontsize=9, framealpha=0.85, edgecolor="none")
    plain_axes(axes)


def plot_boxes(
    rows: Sequence[tuple[Video, Mapping[str, np.ndarray]]], columns: int = 5
) -> Figure:
    """Draws frames with the boxes of all trackers, and with those that are right.

    Args:
        rows: videos, each with the boxes that trackers found, float `(frames, 4)` by
            name.
        columns: how many frames of each, from its first to its last.
    """
    names = list(dict.fromkeys(name for _, boxes in rows for name in boxes))
    lines = _lines(names)
    chosen = [_spread(video, columns) for video, _ in rows]
    images = [
        [_image(video.frames[k]) for k in at] for (video, _), at in zip(rows, chosen)
    ]
    tall = [max(x.shape[0] / x.shape[1] for x in row) for row in images]
    figure = Figure(
        (12, 12 / columns * sum(tall) + 0.22 * len(rows) + 0.35),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0),
    )
    grid = figure.subplots(
        len(rows), columns, squeeze=False, gridspec_kw={"height_ratios": tall}
    )
    for (video, found), at, shown, places in zip(rows, chosen, images, grid):
        for k, image, axes in zip(at, shown, places):
            _frame(axes, image, f"{k + 1}")
            for name, boxes in found.items():
                _box(axes, boxes[k], lines[name], "white")
            _box(axes, video.boxes[k], _TRUTH_LINE, "#222222")
        places[0].set_title(video.name, loc="left", fontsize=10, color=GREY, pad=3)
    _legend(figure, {name: lines[name] for name in names})
    return figure


def _spread(video, count):
    """Frames of a video, as evenly as those go whose box is known."""
    known = np.flatnonzero(np.isfinite(video.boxes).all(-1))
    known = known if len(known) else np.arange(len(video))
    return known[np.linspace(0, len(known) - 1, count).round().astype(int)]


def _image(frame):
    try:
        return frame()
    except (OSError, ValueError):
        return np.full((180, 240, 3), 235, np.uint8)  # what is damaged is blank


def _frame(axes, image, number):
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="antialiased")
    axes.set_axis_off()
    axes.text(
        0.02,
        0.97,
        number,
        transform=axes.transAxes,
        va="top",
        fontsize=8,
        color="white",
        path_effects=[withStroke(linewidth=2, foreground="#222222")],
    )


def _box(axes, box, line, around):
    if not np.isfinite(box).all():
        return
    left, top, width, height = box
    outline = Rectangle((left, top), width, height, fill=False, **line)
    outline.set_path_effects(
        [withStroke(linewidth=line["linewidth"] + 1.6, foreground=around, alpha=0.7)]
    )
    axes.add_patch(outline)


def _legend(figure, lines):
    marks = [Line2D([], [], label=NAMES.get(n, n), **line) for n, line in lines.items()]
    truth = Line2D([], [], label=TRUTH, **_TRUTH_LINE)
    truth.set_path_effects([withStroke(linewidth=3, foreground="#222222")])
    figure.legend(
        handles=[truth, *marks],
        loc="outside lower left",
        ncols=min(len(marks) + 1, 8),
        frameon=False,
        fontsize=9,
        handlelength=3,
    )
