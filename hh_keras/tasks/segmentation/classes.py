"""Which values of a mask file stand for which class."""

import dataclasses
import re
from collections.abc import Iterable, Mapping

import numpy as np

from hh_keras.errors import DataError

IGNORED = 255
"""In masks that are loaded: pixels that count nowhere."""

_LINE = re.compile(r"(?:(\d+|#[0-9a-fA-F]{6})[\s:]+)?(\S.*)")
_COUNTS_NOWHERE = re.compile(r"(ignore|.*\(ignored?\))", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Classes:
    """What masks mean.

    Attributes:
        names: of the classes, in the order of a network's outputs.
        values: value in a mask file → class, or `IGNORED`; of masks in colours, the
            value is 0xRRGGBB.
        colours: whether masks are read as colours.
    """

    names: tuple[str, ...]
    values: Mapping[int, int]
    colours: bool = False

    def masked(self, found: np.ndarray) -> np.ndarray:
        """Values of a file, integers `(h, w)`, as classes, uint8 `(h, w)`.

        Raises:
            ValueError: a value is no class; the text names it.
        """
        values, places = np.unique(found, return_inverse=True)
        unknown = [int(v) for v in values if int(v) not in self.values]
        if unknown:
            told = ", ".join(map(self.written, unknown[:3]))
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            rest = "" if self.colours else f", or give --ignore_index={unknown[-1]}"
            raise ValueError(
                f"its mask holds {told}{more}, which is no class: add it to the "
                f"classes{rest}"
            )
        table = np.array([self.values[int(v)] for v in values], np.uint8)
        return table[places].reshape(found.shape)

    def written(self, value: int) -> str:
        """A value as a list of classes has it."""
        return f"#{value:06x}" if self.colours else str(value)


def parse_classes(
    lines: Iterable[str], ignore_index: int | None = None, where: str = "classes.txt"
) -> Classes:
    """Reads a list of classes.

    Args:
        lines: `NAME`, with the number of the line, from 0, for its value; `VALUE NAME`
            or `VALUE:NAME`; or `#rrggbb NAME` for masks in colours. The name `ignore`,
            and names that end in `(ignore)`, are of pixels that count nowhere. Empty
            lines, and those that begin with "# ", are passed over.
        ignore_index: one more value of pixels that count nowhere; one of a class makes
            that value no class.
        where: names the list in messages.

    Raises:
        DataError: lines of several kinds, what is nearly a colour, a value or a name
            twice, fewer than two classes or more than 255.
    """
    lines = [line.strip() for line in lines]
    lines = [line for line in lines if line and not re.match(r"#(\s|$)", line)]
    found = [_LINE.fullmatch(line) for line in lines]
    for match in found:
        if match and match[1] is None and match[2][0] == "#":
            raise DataError(
                f"{where}: '{match[2]}' is no colour and its class; write "
                "#rrggbb NAME, or begin a remark with '# '."
            )
    rows = [(match[1], match[2].strip()) for match in found if match]
    kinds = {None if value is None else value[0] == "#" for value, _ in rows}
    if len(kinds) > 1:
        raise DataError(
            f"{where}: some lines have a value and some have none, or a colour; write "
            "all alike: NAME, VALUE NAME, or #rrggbb NAME."
        )
    names: list[str] = []
    values: dict[int, int] = {}
    for number, (text, name) in enumerate(rows):
        value = number if text is None else _number(text)
        if value in values or name in names:
            raise DataError(f"{where}: '{name}' or its value is there twice.")
        if _COUNTS_NOWHERE.fullmatch(name) or value == ignore_index:
            values[value] = IGNORED
            continue
        values[value] = len(names)
        names.append(name)
    if ignore_index is not None:
        values[ignore_index] = IGNORED
    if not 2 <= len(names) <= IGNORED:
        commas = any("," in name for name in names)
        raise DataError(
            f"{where} names {len(names)} classes that count; it needs 2 to {IGNORED}, "
            "the background among them" + (", each in a line." if commas else ".")
        )
    return Classes(tuple(names), values, kinds == {True})


def _number(text):
    return int(text[1:], 16) if text.startswith("#") else int(text)
