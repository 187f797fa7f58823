"""How all pictures look: colours, frames, headlines.

The original is grey-blue, LW-DNA orange, in every picture: the pair can be told apart
with any kind of colour vision and in print.
"""

import dataclasses
import io
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

NAMES = {"original": "original", "lw_dna": "LW-DNA"}
FILL = {"original": "#a3b4c6", "lw_dna": "#e8710a"}
LINE = {"original": "#51687f", "lw_dna": "#e8710a"}
INK = {"original": "#51687f", "lw_dna": "#b85300"}  # dark enough for text
GREY = "#555555"
LEGEND = {
    "loc": "lower right",
    "bbox_to_anchor": (1, 1),
    "ncols": 2,
    "frameon": False,
    "fontsize": 9,
    "borderaxespad": 0.2,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A picture of a task's own in the report.

    Attributes:
        name: of its file in `pictures/`.
        title: above it.
        caption: below it.
        figure: a matplotlib figure.

    Examples:
        >>> figure = hh_keras.report.plot_channels(networks)
        >>> own = hh_keras.report.Picture("own", "Channels", "Of all layers.", figure)
        >>> path = hh_keras.report.write_report("run", results, goal, [own])
        >>> "Of all layers." in path.read_text("utf-8")
        True
    """

    name: str
    title: str
    caption: str
    figure: Figure


def png(figure: Figure) -> bytes:
    """The bytes of a figure as a PNG file.

    Examples:
        >>> figure = hh_keras.report.plot_cost(networks)
        >>> hh_keras.report.png(figure)[1:4]
        b'PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, facecolor="white")
    return buffer.getvalue()


def headline(figure: Figure, text: str) -> Figure:
    """Puts the finding above the picture, in lines as long as it is wide."""
    wrapped = textwrap.fill(text, int(9.7 * figure.get_figwidth()))
    figure.suptitle(
        wrapped, x=0.01, ha="left", fontsize=12, weight="bold", parse_math=False
    )
    return figure


def plain_axes(axes: Axes) -> None:
    """Leaves out of a frame what is not needed."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(color="#bbbbbb", labelcolor="#333333", labelsize=8)
    axes.tick_params(axis="x", labelsize=7.5)
