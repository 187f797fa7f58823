"""Pictures of what was found. Each function returns a matplotlib `Figure`.

The original is grey-blue, LW-DNA orange, in every picture: the pair can be told apart
with any kind of colour vision and in print.
"""

import io
import math
import textwrap

import numpy as np
from matplotlib.figure import Figure

from hh_keras.report import numbers
from hh_keras.report.comparison import compare, verdict
from hh_keras.report.numbers import known
from hh_keras.training.goals import GOALS

NAMES = {"original": "original", "lw_dna": "LW-DNA"}
FILL = {"original": "#a3b4c6", "lw_dna": "#e8710a"}
LINE = {"original": "#51687f", "lw_dna": "#e8710a"}
INK = {"original": "#51687f", "lw_dna": "#b85300"}  # dark enough for text
_GREY = "#555555"
_CHANGES_PER_ROW = 55  # more bars than this leave no room for numbers above them
_NAMES_PER_ROW = 70
_LEGEND = {
    "loc": "lower right",
    "bbox_to_anchor": (1, 1),
    "ncols": 2,
    "frameon": False,
    "fontsize": 9,
    "borderaxespad": 0.2,
}


def png(figure):
    """The bytes of a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, facecolor="white")
    return buffer.getvalue()


def plot_channels(models):
    """Draws the output channels of every layer of both networks.

    Args:
        models: `models` of the results, see `hh_keras.report`.
    """
    names, before, after = _channels(models)
    figure = _layer_rows(
        [("output channels of each layer", names, before, after)], _CHANGES_PER_ROW
    )
    return _headline(figure, channels_finding(models))


def plot_left(names, sizes, left):
    """Draws the channels of groups and how many of them are left.

    Args:
        names, sizes, left: one per group.
    """
    figure = Figure(figsize=(max(6, 0.16 * len(names)), 3), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(names)), sizes, color=FILL["original"], label="all")
    axes.bar(range(len(names)), left, color=FILL["lw_dna"], label="left")
    if len(names) <= _NAMES_PER_ROW:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_ylabel("channels")
    axes.legend(**_LEGEND)
    return figure


def channels_finding(models):
    """Says in one sentence how many channels LW-DNA has, and where."""
    _, before, after = _channels(models)
    parts = [_total_share(before, after)]
    if len(before) >= 6:
        thirds = zip(np.array_split(before, 3), np.array_split(after, 3))
        parts = parts + [_total_share(*third) for third in thirds]
    text = f"LW-DNA has {parts[0]} of the original's channels"
    if len(parts) == 1:
        return text
    return (
        f"{text} (first third of the layers {parts[1]}, middle {parts[2]}, "
        f"last {parts[3]})"
    )


def plot_cost(models):
    """Draws what every layer with MACs costs, in MACs and in parameters.

    Args:
        models: `models` of the results, see `hh_keras.report`.
    """
    parts = [
        (f"{label} of each layer", *_layers(models, key))
        for key, label in (("macs", "MACs"), ("params", "parameters"))
    ]
    return _headline(_layer_rows(parts, 2 * _CHANGES_PER_ROW), cost_finding(models))


def cost_finding(models):
    """Says in one sentence what LW-DNA costs."""
    pair = models["original"], models["lw_dna"]
    macs, params = ([model[key] for model in pair] for key in ("macs", "params"))
    return (
        f"LW-DNA needs {_total_share(*macs)} of the original's MACs "
        f"({' → '.join(map(numbers.millions, macs))}) and {_total_share(*params)} of "
        f"its parameters ({' → '.join(map(numbers.millions, params))})"
    )


def plot_curves(history, goal="accuracy"):
    """Draws accuracy, or what else is the goal, and loss over the epochs of training.

    Args:
        history: `history` of the results, see `hh_keras.report`; may be empty.
        goal: a key of `hh_keras.report.goals.GOALS`.
    """
    wanted = GOALS[goal]
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    panels = zip(
        figure.subplots(1, 2),
        (wanted.key, "loss"),
        (wanted.label, "loss"),
        (wanted.write, numbers.decimals),
    )
    for axes, key, label, write in panels:
        _curves(axes, history, key, write)
        axes.set_title(label, loc="left", fontsize=10, color=_GREY)
    figure.axes[0].yaxis.set_major_formatter(wanted.axis)
    return _headline(figure, curves_finding(history, goal))


def curves_finding(history, goal="accuracy"):
    """Says in one sentence how training ended."""
    goal = GOALS[goal]
    rows = {name: history.get(name) or [] for name in NAMES}
    last = [
        rows[name][-1].get(f"val_{goal.key}") if rows[name] else None for name in rows
    ]
    if not all(map(known, last)):
        return "Training of both networks"
    count = len(rows["lw_dna"])
    original, slim = map(goal.write, last)
    return (
        f"After {count} epoch{'s' if count > 1 else ''} LW-DNA has {slim} validation "
        f"{goal.label}, the original {original} ({goal.write_change(*last)})"
    )


def plot_summary(models, title="", goal="accuracy"):
    """Draws all at a glance: channels per layer, and LW-DNA relative to the original.

    Args:
        models: `models` of the results, see `hh_keras.report`.
        title: of the run; stands in front of the finding.
        goal: a key of `hh_keras.report.goals.GOALS`.
    """
    figure = Figure(figsize=(14, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[2.2, 1])
    names, before, after = _channels(models)
    if len(names) <= _CHANGES_PER_ROW:
        _bars(left, before, after)
    else:
        _steps(left, before, after)
    _name_layers(left, names, 32)
    _label_panel(left, "output channels of each layer")
    left.legend(**_LEGEND)
    _relative_bars(right, models, goal)
    finding = verdict(models, goal).rstrip(".")
    return _headline(figure, f"{title}: {finding}" if title else finding)


def _channels(models):
    """Names of the layers that have channels, and both counts as arrays."""
    before, after = (models[name]["channels"] for name in NAMES)
    names = list(before) + [name for name in after if name not in before]
    counts = ([each.get(name, 0) for name in names] for each in (before, after))
    return names, *map(np.array, counts)


def _layers(models, key):
    """Names of the layers with MACs, and `key` of each in both networks."""
    tables = [{each["name"]: each for each in models[n]["layers"]} for n in NAMES]
    names = [
        name
        for name in dict.fromkeys(name for table in tables for name in table)
        if any(table.get(name, {}).get("macs") for table in tables)
    ]
    values = ([table.get(name, {}).get(key, 0) for name in names] for table in tables)
    return names, *map(np.array, values)


def _total_share(before, after):
    before, after = np.sum(before), np.sum(after)
    return numbers.rough_percent(float(after / before) if before else None)


def _layer_rows(parts, per_row):
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
        _bars(axes, before, after)
        if longest <= _CHANGES_PER_ROW:
            _write_changes(axes, before, after)
            heading += "; above: change in %"
        axes.set_xlim(-0.8, longest - 0.2)
        _name_layers(axes, names, _NAMES_PER_ROW)
        _label_panel(axes, heading)
    grid[0].legend(**_LEGEND)
    return figure


def _bars(axes, before, after):
    """A wide bar per layer of the original, a narrow one of LW-DNA before it."""
    at = np.arange(len(before))
    axes.bar(at, before, 0.84, color=FILL["original"], label=NAMES["original"])
    axes.bar(at, after, 0.4, color=FILL["lw_dna"], label=NAMES["lw_dna"])
    axes.set_xlim(-0.8, len(before) - 0.2)


def _steps(axes, before, after):
    """The same for layers too many for bars: an area, and an outline before it."""
    edges = np.arange(len(before) + 1) - 0.5
    axes.stairs(
        before, edges, fill=True, color=FILL["original"], label=NAMES["original"]
    )
    axes.stairs(
        after, edges, color=FILL["lw_dna"], linewidth=1.3, label=NAMES["lw_dna"]
    )
    axes.set_xlim(edges[0], edges[-1])


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
            color=INK["lw_dna"] if change else _GREY,
        )


def _name_layers(axes, names, limit):
    """Writes at most `limit` of the layers' names below the bars."""
    at = range(0, len(names), max(1, math.ceil(len(names) / limit)))
    shown = [_short(names[i]) for i in at]
    # Names are the user's: a dollar sign is no formula.
    axes.set_xticks(at, shown, rotation=90, fontsize=7, parse_math=False)
    axes.tick_params(axis="x", length=0, pad=1)


def _short(name, limit=26):
    return name if len(name) <= limit else f"{name[:12]}…{name[-13:]}"


def _label_panel(axes, title):
    axes.set_title(title, loc="left", fontsize=10, color=_GREY)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter(lambda y, _: numbers.tick(y))
    _plain(axes)


def _plain(axes):
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(color="#bbbbbb", labelcolor="#333333", labelsize=8)
    axes.tick_params(axis="x", labelsize=7.5)


def _relative_bars(axes, models, goal):
    """LW-DNA as a share of the original, for the quantities that decide."""
    wanted = (GOALS[goal].label, "MACs", "parameters", ".tflite file", "latency")
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
    axes.set_title("LW-DNA / original", loc="left", fontsize=10, color=_GREY)
    axes.xaxis.set_major_formatter(lambda x, _: numbers.rough_percent(x))
    _plain(axes)
    axes.spines["left"].set_visible(False)


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
    axes.set_xlabel("epoch", fontsize=9, color=_GREY)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    _plain(axes)


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
        color=_GREY,
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


def _headline(figure, text):
    """Puts the finding above the picture, in lines as long as it is wide."""
    wrapped = textwrap.fill(text, int(9.7 * figure.get_figwidth()))
    figure.suptitle(
        wrapped, x=0.01, ha="left", fontsize=12, weight="bold", parse_math=False
    )
    return figure
