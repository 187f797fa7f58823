"""Where the target is, from the text files of the benchmarks."""

import re
from pathlib import Path

import numpy as np

from hh_keras.errors import DataError
from hh_keras.tasks.tracking.data.boxes import enclosing

_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")


def read_boxes(path: Path, first_pixel: int = 0) -> np.ndarray:
    """Reads one box for each line of a file.

    A line has left, top, width and height, or the x and y of four corners, of which the
    upright box around them is taken; between them are commas, semicolons, tabs or
    spaces. The target is absent where a line is empty, where a number is NaN or
    infinite, and where a rectangle has no width or height.

    Args:
        path: a text file.
        first_pixel: what the file calls the image's first column and row: 1 in OTB.

    Returns:
        float `(lines, 4)` as in `.boxes`, NaN where the target
        is absent; empty lines at the end do not count.

    Raises:
        DataError: it cannot be read, or a line is none of these; the message has its
            number.
    """
    boxes = np.full((0, 4), np.nan)
    if rows := [_box(path, line, row) for line, row in _numbers(path)]:
        boxes = np.array(rows)
        boxes[:, :2] -= first_pixel
    return boxes


def _box(path, line, row):
    if not np.isfinite(row).all() or not row:
        return [np.nan] * 4
    if len(row) not in (4, 8):
        raise DataError(
            f"{path}, line {line}: {len(row)} numbers. Each line has to have 4 (left, "
            "top, width, height) or 8 (x and y of four corners)."
        )
    box = row if len(row) == 4 else enclosing(row)
    return box if min(box[2:]) > 0 else [np.nan] * 4


def read_marks(path: Path) -> np.ndarray:
    """Reads a file of one 0 or 1 for each frame, such as GOT-10k's `absence.label`.

    Returns:
        bool `(lines,)`.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    rows = _numbers(path)
    for line, row in rows:
        if len(row) != 1:
            raise DataError(f"{path}, line {line}: each line has to have one number.")
    return np.array([row[0] > 0 for _, row in rows], bool)


def _numbers(path):
    """`(line, numbers)` of each line up to the last that is not empty."""
    try:
        lines = path.read_text("utf-8-sig", "replace").rstrip().splitlines()
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path} cannot be read ({reason}).") from error
    rows = []
    for line, text in enumerate(lines, 1):
        words = [word for word in _BETWEEN.split(text.strip()) if word]
        try:
            rows.append((line, [float(word) for word in words]))
        except ValueError:
            shown = text.strip()[:40]
            is_mask = text.startswith("m") and path.name == "groundtruth.txt"
            hint = (
                "Masks (VOT 2020 and later) are not read, only rectangles and polygons."
                if is_mask
                else "Numbers are expected, separated by commas, tabs or spaces."
            )
            raise DataError(f"{path}, line {line}: '{shown}'. {hint}") from None
    return rows
