"""What tells a good network of a task, how it is called and written."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Goal:
    """The measure that tells a good network; more of it is better.

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
