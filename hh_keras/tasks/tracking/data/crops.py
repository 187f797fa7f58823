"""Folders of ready crops: squares around targets, and one table with their sizes.

    boxes.csv                       file,w,h
    videos/SET/SEQUENCE/0001.jpg    a frame's surroundings, frames in order of names
    images/SET/0001.jpg             still images, each for itself

`boxes.csv` has a line of titles and a line for each crop: the file's path below the
folder, width and height of the target in the crop's pixels. The target's middle is the
crop's. The folder that a file is in is its sequence; some frames may be missing, and
crops may be of any size. With `train/` and `val/`, each such a folder, the second is to
measure on.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from hh_keras.data.decoding import native_shape
from hh_keras.data.folders import HELD_OUT, read_file
from hh_keras.errors import DataError
from hh_keras.tasks.tracking.data.pictures import Picture, decoded
from hh_keras.tasks.tracking.data.regions import unusable
from hh_keras.tasks.tracking.data.sequence import Video

_TABLE, _TITLES, _STILLS = "boxes.csv", ("file", "w", "h"), "images"


def parts(root: Path) -> dict[str, Path]:
    """Part → its folder, of a folder of crops; empty if it is none."""
    if (root / _TABLE).is_file():
        return {"train": root}
    if not (root / "train" / _TABLE).is_file():
        return {}
    held_out = [root / name for name in HELD_OUT if (root / name / _TABLE).is_file()]
    return {"train": root / "train", **dict(zip(["val"], held_out))}


def open_crops(root: Path, skipped: dict[str, str]) -> dict[str, list[Video]]:
    """Reads the tables and the heads of the files.

    Args:
        root: see above.
        skipped: gets the rows that are of no use, place to reason.

    Returns:
        Part → its sequences.

    Raises:
        DataError: a table that is none.
    """
    return {part: _sequences(path, skipped) for part, path in parts(root).items()}


def _sequences(root, skipped):
    sequences: dict[str, list] = {}
    for file, size in _rows(root / _TABLE, skipped):
        place = PurePosixPath(file)
        still = place.parts[0] == _STILLS
        name = str(place) if still else str(place.parent)
        sequences.setdefault(name, []).append((file, size))
    found: list[Video] = []
    for name, rows in sequences.items():
        placed = [row for row in _placed(root, sorted(rows), skipped)]
        if placed:
            kind = Picture if name.startswith(f"{_STILLS}/") else Video
            frames, boxes = zip(*placed)
            found.append(kind(name, frames, np.array(boxes)))
    return found


def _rows(path: Path, skipped: dict) -> Iterator[tuple[str, list[float]]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        missing = set(_TITLES) - set(table.fieldnames or ())
        if missing:
            raise DataError(
                f"'{path}' has no column {' and no '.join(sorted(missing))}: its first "
                f"line must be {','.join(_TITLES)}."
            )
        for row in table:
            try:
                yield row["file"], [float(row["w"]), float(row["h"])]
            except (TypeError, ValueError):
                skipped[f"{path}:{table.line_num}"] = "its size is no number"


def _placed(root: Path, rows: list, skipped: dict) -> Iterator[tuple[Callable, list]]:
    """(frame, box) of the rows of one sequence, in order."""
    for file, (width, height) in rows:
        path = root / file
        try:
            down, across, _ = native_shape(read_file(str(path).encode()))
        except (OSError, ValueError) as error:
            skipped[str(path)] = str(getattr(error, "strerror", None) or error)
            continue
        box = [(across - width) / 2, (down - height) / 2, width, height]
        reason = unusable(box)
        if reason:
            skipped[str(path)] = reason
        else:
            yield functools.partial(_decoded, str(path).encode()), box


def _decoded(path):
    return decoded(read_file(path))
