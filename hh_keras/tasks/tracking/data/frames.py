"""Frames that are image files: in the order of their numbers, and decoded."""

import os
import re
from pathlib import Path

import numpy as np

from hh_keras.data.decoding import EXTENSIONS, decode_image, native_shape
from hh_keras.errors import DataError


def frame_paths(folder: str | os.PathLike) -> list[Path]:
    """The image files of a folder, `2.jpg` before `10.jpg`; folders inside are not
    searched, hidden files are passed over.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        found = [
            Path(entry.path)
            for entry in os.scandir(Path(folder))
            if entry.name.lower().endswith(EXTENSIONS)
            and not entry.name.startswith(".")
            and entry.is_file()
        ]
    except OSError as error:
        raise DataError(f"'{folder}' cannot be read ({error.strerror}).") from error
    return sorted(found, key=lambda path: natural(path.name))


def natural(name: str) -> tuple:
    """Sorts names as people do: what is digits counts as a number."""
    parts = re.split(r"(\d+)", name)
    parts[1::2] = map(int, parts[1::2])
    return parts, name


def frame_number(path: Path) -> int | None:
    """The last number in a file's name, None if it has none."""
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else None


def read_frame(path: str | os.PathLike) -> np.ndarray:
    """Decodes an image file as it is, uint8 `(height, width, 3)`; grey becomes RGB.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no image, or a damaged one.
    """
    encoded = Path(path).read_bytes()
    height, width, _ = native_shape(encoded)
    return decode_image(encoded, (height, width, 3))
