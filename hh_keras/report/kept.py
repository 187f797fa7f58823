"""The picture of what each layer keeps of its outputs before it is trained."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from hh_keras.report import numbers
from hh_keras.report.layers import NAMES_PER_ROW, name_layers
from hh_keras.report.numbers import known
from hh_keras.report.style import FILL, GREY, headline, plain_axes


def plot_kept(kept: Mapping) -> Figure:
    """Draws a bar for every layer, in network order.

    Args:
        kept: `kept` of the results, see `hh_keras.report`.

    Examples:
        >>> kept = {"share": 0.9, "layers": {"conv_1": 0.97, "conv_2": 0.92}}
        >>> figure = hh_keras.report.plot_kept(kept)
        >>> figure.savefig("kept.png")
    """
    names, shares = list(kept["layers"]), list(kept["layers"].values())
    width = min(12.0, max(8.0, 3 + 0.3 * len(names)))
    figure = Figure(figsize=(width, 4), layout="constrained")
    axes = figure.subplots()
    lost = [max(0.0, share) for share in shares]  # less than nothing is nothing
    axes.bar(range(len(names)), lost, 0.8, color=FILL["lw_dna"])
    axes.set_xlim(-0.8, len(names) - 0.2)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(lambda y, _: numbers.rough_percent(y))
    axes.set_title(
        "of each layer's outputs, of the channels that stay",
        loc="left",
        fontsize=10,
        color=GREY,
    )
    name_layers(axes, names, NAMES_PER_ROW)
    plain_axes(axes)
    return headline(figure, kept_finding(kept))


def kept_finding(kept: Mapping) -> str:
    """Says in one sentence how much of the output is left."""
    text = (
        f"Before training LW-DNA keeps {numbers.percent(kept['share'])} of the output"
    )
    if known(kept.get("agreement")):
        text += f" and gives {numbers.percent(kept['agreement'])} of the images the "
        text += "same answer"
    return text


def kept_caption(kept: Mapping) -> str:
    """Says what was measured, and on what."""
    which = (
        "from which nothing was learnt"
        if kept["held_out"]
        else "from which it was learnt as well, so that it looks better than it is"
    )
    return (
        f"{kept_finding(kept)}. 1 − E‖y − y′‖² / E‖y − E y‖²: of the original's "
        "outputs y and the smaller network's y′, on "
        f"{numbers.whole(kept['examples'])} image{'s' * (kept['examples'] != 1)} "
        f"{which}. "
        "Probabilities count as the logits that they come from; of networks that make "
        "an image of an image, what they change counts."
    )
