"""Plain-text tables, for terminals and logs."""

from collections.abc import Iterable, Sequence
from typing import Any


def text_table(header: Sequence, rows: Any, right: Sequence = ()) -> str:
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
    return "\n".join(lines)


def some(names: Iterable, limit: int = 3) -> str:
    """Names, shortened to the first few."""
    names = list(names)
    text = ", ".join(names[:limit])
    return f"{text}, +{len(names) - limit} more" if len(names) > limit else text
