"""The picture of the channels of every layer, before and after."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from hh_keras.report.layers import (
    CHANGES_PER_ROW,
    NAMES_PER_ROW,
    layer_rows,
    total_share,
)
from hh_keras.report.style import FILL, LEGEND, NAMES, headline


def plot_channels(models: Mapping) -> Figure:
    """Draws the output channels of every layer of both networks.

    Args:
        models: `models` of the results, see `hh_keras.report`.

    Examples:
        >>> figure = hh_keras.report.plot_channels(networks)
        >>> figure.savefig("channels.png")
    """
    names, before, after = channel_counts(models)
    figure = layer_rows(
        [("output channels of each layer", names, before, after)], CHANGES_PER_ROW
    )
    return headline(figure, channels_finding(models))


def channels_finding(models: Mapping) -> str:
    """Says in one sentence how many channels LW-DNA has, and where."""
    _, before, after = channel_counts(models)
    parts = [total_share(before, after)]
    if len(before) >= 6:
        thirds = zip(np.array_split(before, 3), np.array_split(after, 3))
        parts = parts + [total_share(*third) for third in thirds]
    text = f"LW-DNA has {parts[0]} of the original's channels"
    if len(parts) == 1:
        return text
    return (
        f"{text} (first third of the layers {parts[1]}, middle {parts[2]}, "
        f"last {parts[3]})"
    )


def channel_counts(models: Mapping) -> tuple:
    """Names of the layers that have channels, and both counts as arrays."""
    before, after = (models[name]["channels"] for name in NAMES)
    names = list(before) + [name for name in after if name not in before]
    counts = ([each.get(name, 0) for name in names] for each in (before, after))
    return names, *map(np.array, counts)


def plot_left(
    names: Sequence[str], sizes: Sequence[int], left: Sequence[int]
) -> Figure:
    """Draws the channels of groups and how many of them are left.

    Args:
        names, sizes, left: one per group.
    """
    figure = Figure(figsize=(max(6, 0.16 * len(names)), 3), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(names)), sizes, color=FILL["original"], label="all")
    axes.bar(range(len(names)), left, color=FILL["lw_dna"], label="left")
    if len(names) <= NAMES_PER_ROW:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_ylabel("channels")
    axes.legend(**LEGEND)
    return figure
