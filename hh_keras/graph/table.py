"""Tables of plain text, for terminals and logs; notebooks show them as such."""

import html
from collections.abc import Iterable, Sequence
from typing import Any


class Table(str):
    """The text of a table, which notebooks draw.

    Attributes:
        cells: its rows, lists of str, the titles first.
        right: indices of the columns that are aligned to the right.
        foot: a line of text below it.
    """

    cells: list
    right: Sequence
    foot: str = ""

    def _repr_html_(self) -> str:
        rows = [self._row(row, "td") for row in self.cells[1:]]
        head = self._row(self.cells[0], "th")
        foot = f"<p>{html.escape(self.foot)}</p>" if self.foot else ""
        return (
            f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>{foot}"
        )

    def _row(self, row, kind):
        sides = ("right" if k in self.right else "left" for k in range(len(row)))
        parts = [
            f'<{kind} style="text-align: {side}">{html.escape(cell)}</{kind}>'
            for side, cell in zip(sides, row)
        ]
        return f"<tr>{''.join(parts)}</tr>"

    def with_foot(self, foot: str) -> "Table":
        """The table with a line below it."""
        found = Table(f"{self}\n{foot}")
        found.cells, found.right, found.foot = self.cells, self.right, foot
        return found


def text_table(header: Sequence, rows: Any, right: Sequence = ()) -> Table:
    """Lays rows out in columns.

    Args:
        header: column titles.
        rows: sequences of values, as long as the header.
        right: indices of the columns that are aligned to the right.
    """
    cells = [[str(v) for v in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        parts = [
            v.rjust(w) if i in right else v.ljust(w)
            for i, (v, w) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "  ".join("-" * w for w in widths))
    table = Table("\n".join(lines))
    table.cells, table.right = cells, right
    return table


def some(names: Iterable, limit: int = 3) -> str:
    """Names, shortened to the first few."""
    names = list(names)
    text = ", ".join(names[:limit])
    return f"{text}, +{len(names) - limit} more" if len(names) > limit else text
