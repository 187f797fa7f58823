"""What tells a good network of a task, how it is called and written."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Goal:
    """The measure that tells a good network; more of it is better, unless `lower`.

    Attributes:
        key: of the results and, behind "val_", of the history.
        label: what it is called.
        write, write_change: number(s) to text, in the report.
        plain, plain_change: number, or a difference, to text on a screen.
        axis: a tick's value to its text.
        more, less, same: what the network with more of it is: "more accurate than".
        about: what the numbers of a comparison are.
        besides: further measures, as `hh_keras.report.comparison` lists quantities.
        classes: whether the largest output is a network's answer.
        examples: what exported files are checked on: "images" or "tiles".
        lower: whether less of it is better, as of losses.
    """

    key: str
    label: str
    write: Callable[[Any], str]
    write_change: Callable[[Any, Any], str]
    plain: Callable[[float], str]
    plain_change: Callable[[float], str]
    axis: Callable[[float, Any], str]
    more: str = "better than"
    less: str = "worse than"
    same: str = "as good as"
    about: str = ""
    besides: tuple = ()
    classes: bool = False
    examples: str = "images"
    lower: bool = False


def number(key: str, label: str | None = None, lower: bool = False) -> Goal:
    """A goal that is a plain number, such as a metric of Keras.

    Args:
        key: its name in the history, without "val_".
        label: what it is called; None is the key.
        lower: whether less of it is better.
    """
    words = ("better than", "worse than")
    more, less = words[::-1] if lower else words

    def change(before: Any, after: Any) -> str:
        if before is None or after is None:
            return _digits(None)
        return _signed(after - before)

    return Goal(
        key,
        label or key,
        _digits,
        change,
        _digits,
        _signed,
        lambda value, _: _digits(value),
        more,
        less,
        lower=lower,
    )


def _digits(value):
    return "–" if value is None else f"{value:.4g}"


def _signed(change):
    return f"{change:+.4g}".replace("-", "−") if change else "±0"


LOSS = number("loss", lower=True)
"""The goal of a task that names none."""
