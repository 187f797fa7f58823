"""The picture of networks of several sizes: what each keeps of the original."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from hh_keras.goal import Goal
from hh_keras.report import numbers
from hh_keras.report.numbers import known
from hh_keras.report.style import GREY, INK, LINE, headline, plain_axes

_SERIES = (("kept", "of the output kept", "-"), ("agreement", "same answer", "--"))


def plot_sweep(rows: Sequence[dict], goal: Goal) -> Figure:
    """Draws what is kept, and the task's goal where it is known, against MACs.

    Args:
        rows: `sweep` of the results, see `hh_keras.report`; the original first.
        goal: the task's.

    Examples:
        >>> rows = [
        ...     {"share": 1.0, "macs": 52480, "params": 2836, "kept": 1.0},
        ...     {"share": 0.8, "macs": 41000, "params": 2100, "kept": 0.93},
        ... ]
        >>> figure = hh_keras.report.plot_sweep(rows, goal)
        >>> figure.savefig("sweep.png")
    """
    scored = [row for row in rows if known(row.get("goal"))]
    figure = Figure(figsize=(12 if scored else 8, 4.4), layout="constrained")
    panels = figure.subplots(1, 2 if scored else 1, squeeze=False)[0]
    whole = rows[0]["macs"]
    for key, label, line in _SERIES:
        points = [row for row in rows if known(row.get(key))]
        if points:
            place = (
                [row["macs"] / whole for row in points],
                [row[key] for row in points],
            )
            panels[0].plot(
                *place,
                line,
                marker="o",
                markersize=4,
                color=LINE["lw_dna"],
                label=label,
            )
    panels[0].yaxis.set_major_formatter(lambda y, _: numbers.rough_percent(y))
    panels[0].set_ylim(0, 1.04)
    panels[0].set_title("kept of the original", loc="left", fontsize=10, color=GREY)
    panels[0].legend(frameon=False, fontsize=9)
    if scored:
        place = [r["macs"] / whole for r in scored], [r["goal"] for r in scored]
        panels[1].plot(*place, marker="o", markersize=4, color=LINE["lw_dna"])
        panels[1].yaxis.set_major_formatter(goal.axis)
        panels[1].set_title(goal.label, loc="left", fontsize=10, color=GREY)
    key = "goal" if scored else "kept"
    for row in rows:
        if row.get("share") is None and row is not rows[0] and known(row.get(key)):
            panels[-1].annotate(
                "--macs",
                (row["macs"] / whole, row[key]),
                xytext=(0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
                color=INK["lw_dna"],
            )
    for axes in panels:
        axes.invert_xaxis()
        axes.xaxis.set_major_formatter(lambda x, _: numbers.rough_percent(x))
        axes.set_xlabel("MACs left", fontsize=9, color=GREY)
        axes.grid(axis="y", color="#eeeeee")
        axes.set_axisbelow(True)
        plain_axes(axes)
    return headline(figure, sweep_finding(rows))


def sweep_finding(rows: Sequence[dict]) -> str:
    """Says in one sentence what the smallest network keeps."""
    last, whole = rows[-1], rows[0]
    share = numbers.rough_percent(last["macs"] / whole["macs"])
    kept = last.get("kept")
    nothing = known(kept) and kept <= 0  # the mean would do as well, or better
    kept = "nothing" if nothing else numbers.rough_percent(kept)
    text = f"At {share} of the MACs {kept} of the output is left"
    if known(last.get("agreement")):
        same = numbers.rough_percent(last["agreement"])
        text += f", and {same} of the images get the same answer"
    return text + ", without training"
