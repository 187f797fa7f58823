"""A training history on disk: one row per epoch, as CSV and as JSON lines."""

import csv
import io
import json
import os
import pathlib
import tempfile

from hh_keras.errors import WorkdirError


def write_text(path, text):
    """Writes a file in one step: readers see the old text or the new, no mix.

    Args:
        path: the file; folders above it are made.
        text: its whole new content.

    Raises:
        WorkdirError: the file cannot be written.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            os.chmod(partial, 0o644)  # mkstemp makes files that only the owner reads
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise
    except OSError as error:
        raise WorkdirError(f"cannot write {path}: {error.strerror}.") from error


def write_history(rows, workdir, name):
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
    folder = pathlib.Path(workdir) / "history"
    write_text(folder / f"{name}.csv", table.getvalue())
    write_text(
        folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows)
    )


def read_history(workdir, name):
    """Returns the rows of `history/NAME.jsonl`, a list of dicts."""
    text = (pathlib.Path(workdir) / "history" / f"{name}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]
