"""Videos with a target, from folders as the benchmarks lay them out."""

import functools
import os
import re
from pathlib import Path

import numpy as np

from hh_keras.data.embedded import SEQUENCES
from hh_keras.data.folders import HELD_OUT
from hh_keras.errors import DataError
from hh_keras.tasks.tracking.data.frames import (
    frame_number,
    frame_paths,
    natural,
    read_frame,
)
from hh_keras.tasks.tracking.data.groundtruth import read_boxes, read_marks
from hh_keras.tasks.tracking.data.sequence import Video

_OTB = re.compile(r"groundtruth_rect(\.\d+)?\.txt")
_IMAGES = ("img", "color")  # OTB, VOT from 2018 on
_DEPTH = 2  # parts/sequences
_LOOKED_FOR = (
    "img/*.jpg with groundtruth_rect.txt (OTB), color/*.jpg or *.jpg with "
    "groundtruth.txt (VOT, GOT-10k)"
)
# The boxes of OTB's David are those of its frames 300 to 770.
_FIRST_FRAME = {"David": 300}


def open_videos(spec: str | os.PathLike, part: str | None = None) -> list[Video]:
    """Lists sequences and reads their boxes; no frame is decoded.

    Layouts are known by what is there, one sequence to a folder:

    - OTB: `img/*.jpg`, `groundtruth_rect.txt`, or `groundtruth_rect.1.txt`, `….2.txt`
      for several targets, each a `Video` of its own, `NAME.1`, `NAME.2`. Columns and
      rows count from 1.
    - VOT: `color/*.jpg` or `*.jpg`, `groundtruth.txt` with rectangles, or polygons,
      whose upright box counts. Columns and rows are taken as counted from 0.
    - GOT-10k: `*.jpg`, `groundtruth.txt`, `absence.label`; from 0 too.

    Frames are in the order of their numbers. Where lines are missing at the end, nobody
    said where the target is. Frames missing among others, if the lines tell that they
    belong there, take part as damaged ones.

    Args:
        spec: "embedded"; a folder of such folders, or of parts of them; or one of them.
        part: "train"; "val", the first of `val/`, `validation/` and `test/`, or all
            where there are no parts; or the name of any folder in `spec`; None for all.

    Returns:
        A list in natural order of names, which are paths below `spec`, or below its
        part.

    Raises:
        DataError: there are no such sequences, or their files contradict each other.
    """
    root = SEQUENCES if spec == "embedded" else Path(spec).expanduser()
    if not root.is_dir():
        kind = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"tracking data '{spec}' {kind}: give the path of a folder of sequences, "
            "or 'embedded'."
        )
    root = _part(root, part)
    folders = sorted(_sequences(root, _DEPTH), key=lambda path: natural(str(path)))
    videos = [
        video for folder in folders for video in _open(folder, _name(folder, root))
    ]
    if not videos:
        raise DataError(
            f"'{root}' holds no tracking sequences. Looked for: {_LOOKED_FOR}, in it "
            "and in the folders below."
        )
    return videos


def _part(root, part):
    if part is None:
        return root
    names = HELD_OUT if part == "val" else (part,)
    found = next((root / name for name in names if (root / name).is_dir()), None)
    if found is None and (part != "val" or (root / "train").is_dir()):
        raise DataError(
            f"tracking data '{root}' has no {'/, '.join(names)}/: put the sequences of "
            "that part there."
        )
    return found or root


def _name(folder, root):
    name = folder.relative_to(root).as_posix()
    return folder.resolve().name if name == "." else name


def _sequences(folder, depth):
    """The folders that are sequences: this one, or some below."""
    try:
        inside = {entry.name: entry.is_dir() for entry in os.scandir(folder)}
    except OSError as error:
        raise DataError(f"'{folder}' cannot be read ({error.strerror}).") from error
    if any(inside.get(name) for name in _IMAGES) or any(map(_is_truth, inside)):
        yield folder
    elif depth:
        for name, is_folder in inside.items():
            if is_folder and not name.startswith("."):
                yield from _sequences(folder / name, depth - 1)


def is_sequence(folder: Path) -> bool:
    """Whether a folder has a file that tells where its target is."""
    return any(map(_is_truth, os.listdir(folder)))


def _is_truth(name):
    return name == "groundtruth.txt" or bool(_OTB.fullmatch(name))


def _open(folder, name):
    """The videos of a sequence's folder, one for each target."""
    images = next((folder / x for x in _IMAGES if (folder / x).is_dir()), folder)
    paths = frame_paths(images)
    if not paths:
        raise DataError(
            f"'{folder}' has boxes, but no frames. Looked for: {_LOOKED_FOR}."
        )
    truths = sorted(filter(_is_truth, os.listdir(folder)), key=natural)
    truths = [name for name in truths if _OTB.fullmatch(name)] or truths
    read = {truth: _truth(folder / truth) for truth in truths}
    # One of two targets of OTB's Human4 has an empty file.
    read = {truth: boxes for truth, boxes in read.items() if len(boxes)}
    if not read:
        what = f"{truths[0]} is empty" if truths else "it has no boxes"
        raise DataError(f"sequence '{folder}': {what}. Looked for: {_LOOKED_FOR}.")
    for truth, boxes in read.items():
        number = truth.removeprefix("groundtruth_rect").removesuffix(".txt")
        target = name + number if len(read) > 1 else name
        yield _video(target, folder / truth, paths, boxes)


def _truth(path):
    boxes = read_boxes(path, first_pixel=1 if _OTB.fullmatch(path.name) else 0)
    absence = path.with_name("absence.label")
    if path.name == "groundtruth.txt" and absence.is_file():
        absent = read_marks(absence)
        if len(absent) != len(boxes):
            raise DataError(
                f"{absence} has {len(absent)} lines, {path.name} {len(boxes)}: they do "
                "not belong together."
            )
        boxes[absent] = np.nan
    return boxes


def _video(name, truth, paths, boxes):
    paths = _with_gaps(paths, len(boxes))
    if len(boxes) > len(paths):
        raise DataError(
            f"{truth} has boxes for {len(boxes)} frames, but there are {len(paths)} in "
            f"'{paths[0].parent}': put back those that are missing."
        )
    places = np.full((len(paths), 4), np.nan)
    first = _FIRST_FRAME.get(truth.parent.name, 1) - 1
    first = first if first + len(boxes) <= len(paths) else 0
    places[first : first + len(boxes)] = boxes
    frames = [functools.partial(read_frame, path) for path in paths]
    return Video(name, frames, places)


def _with_gaps(paths, rows):
    """With paths of frames that are missing, if rows tell that there were more."""
    numbers = [frame_number(path) for path in paths]
    if len(paths) >= rows or None in numbers or len(set(numbers)) < len(numbers):
        return paths
    slots = range(numbers[0], numbers[-1] + 1)
    if len(slots) != rows:
        return paths
    there = dict(zip(numbers, paths))
    return [there.get(n, paths[0].with_name(f"{n} (missing)")) for n in slots]
