"""A training history on disk: one row per epoch, as CSV and as JSON lines."""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

from hh_keras import files


def write_history(rows: Sequence[dict], workdir: str | Path, name: str) -> None:
    """Writes `history/NAME.csv` and `history/NAME.jsonl` under a work directory.

    Args:
        rows: list of dicts, one per epoch, with the same keys.
        workdir: folder that gets `history/`.
        name: of the network.
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    folder = Path(workdir) / "history"
    files.write(folder / f"{name}.csv", table.getvalue())
    files.write(
        folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows)
    )


def read_history(workdir: str | Path, name: str) -> list[dict]:
    """Returns the rows of `history/NAME.jsonl`, a list of dicts.

    Raises:
        FileNotFoundError: there is no such file.
    """
    text = (Path(workdir) / "history" / f"{name}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def best_epoch(
    rows: Sequence[dict],
    goal: str = "accuracy",
    start: dict | None = None,
    lower: bool = False,
) -> int:
    """The number of the epoch with the best validation measure, the first of equals.

    Without validation, the one with the lowest loss. 0 if there are no rows, or if none
    is better than the start.

    Args:
        rows: of a history.
        goal: the measure.
        start: what validation gave before the first epoch.
        lower: whether less of it is better.
    """
    if not rows:
        return 0
    if start is None:
        sign = -1 if lower else 1
        key = f"val_{goal}"
        scores = [
            _known(sign * row[key]) if key in row else -row["loss"] for row in rows
        ]
        return rows[scores.index(max(scores))]["epoch"]
    best, found = start, 0
    for row in rows:
        if better(row, best, goal, lower):
            best, found = row, row["epoch"]
    return found


def better(row: dict, other: dict, goal: str = "accuracy", lower: bool = False) -> bool:
    """Whether one validation is better than another; losses decide between equals."""
    sign = -1 if lower else 1
    ours, theirs = (
        (_known(sign * each[f"val_{goal}"]), _known(-each["val_loss"]))
        for each in (row, other)
    )
    return ours > theirs


def _known(score):
    """What is not known (NaN) is worse than anything."""
    return -math.inf if math.isnan(score) else score


def exhausted(
    rows: Sequence[dict], patience: int, goal: str = "accuracy", lower: bool = False
) -> bool:
    """Whether the last `patience` epochs brought nothing better; never, if it is 0."""
    if not (patience and rows):
        return False
    return rows[-1]["epoch"] - best_epoch(rows, goal, lower=lower) >= patience
