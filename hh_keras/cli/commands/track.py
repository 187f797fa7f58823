"""Follows one object through a video, from its box in the first frame.

    python launch/track.py --model=runs/track/lw_dna.keras --video=walk.mp4 \\
        --box=120,80,60,90
    python launch/track.py --model=runs/track/lw_dna_search.tflite \\
        --video=otb/Deer --output=runs/deer

Takes a .keras file, or one of the two files that a tracker is deployed as (the other
lies beside it): .tflite, or SavedModel folders. --video is a video file (which needs
OpenCV, the extra "video") or a folder of frames; a sequence as of OTB, VOT or GOT-10k
knows its first box.

Leaves in --output: boxes.csv (frame, left, top, width, height, score), boxes.txt
(as OTB has it, counted from 1), and the frames with the box drawn, as tracked.mp4 or,
from a folder, as frames/*.jpg. A frame that cannot be read carries the box before it;
one of another size shows the same picture, resized. Every line is written when its
frame is done: what was found before a stop is kept. Earlier results are replaced by
--overwrite alone, and not before the first frame is done.
"""

import math
import sys
from collections.abc import Callable, Sequence

from absl.flags import FlagValues

from hh_keras.cli import program
from hh_keras.flag import COUNT, SWITCH, Checked, Flag, Text


def parse_box(text: str) -> tuple[float, ...]:
    """Reads "x,y,w,h"."""
    left, top, width, height = map(float, text.split(","))
    known = all(map(math.isfinite, (left, top, width, height)))
    if not (known and width > 0 and height > 0):
        raise ValueError(text)
    return left, top, width, height


GROUPS = {
    "Model": (
        Flag(
            "model",
            Text("FILE"),
            None,
            "The tracker: a .keras file, or one of its two files NAME_exemplar and "
            "NAME_search (.tflite, or SavedModel folders with a version).",
            required=True,
        ),
        Flag("threads", COUNT, None, "Of a .tflite interpreter. Default: its choice."),
    ),
    "Video": (
        Flag(
            "video",
            Text("FILE|FOLDER"),
            None,
            "A video file, or a folder of frames.",
            required=True,
        ),
        Flag(
            "box",
            Checked(
                parse_box,
                "X,Y,W,H",
                "write left,top,width,height in pixels, such as 120,80,60,90.",
            ),
            None,
            "The target in the first frame: left, top, width and height in pixels. "
            "Default: that of the folder's ground truth.",
        ),
    ),
    "Output": (
        Flag("output", Text("FOLDER"), "runs/tracked", "Where all files go."),
        Flag("overwrite", SWITCH, False, "Replace earlier results."),
        Flag("draw", SWITCH, True, "Leave the frames with the box drawn, too."),
    ),
}


def main(args: FlagValues) -> None:
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras.tasks.tracking.data.footage import frames_of
    from hh_keras.tasks.tracking.following.records import Record
    from hh_keras.tasks.tracking.following.steps import followed
    from hh_keras.tasks.tracking.opening import open_tracker

    footage = frames_of(args.video)
    box = args.box or _first_box(args.video)
    tracker = open_tracker(args.model, threads=args.threads)
    shown = bar(args.video) if sys.stdout.isatty() else None
    with Record(args.output, footage, args.draw, args.overwrite) as record:
        for step in followed(tracker, footage, box):
            record.add(step)
            if shown:
                shown(step.number + 1, footage.count)
    print(record.summary())


def _first_box(video: str) -> Sequence[float]:
    """Of a sequence's ground truth."""
    import pathlib

    import numpy as np

    from hh_keras.errors import DataError
    from hh_keras.tasks.tracking.data.sequences import is_sequence, open_videos

    folder = pathlib.Path(video).expanduser()
    why = "does not tell where the target is"
    if folder.is_dir() and is_sequence(folder):
        found = open_videos(folder)
        boxes = found[0].boxes
        if len(found) == 1 and np.isfinite(boxes[0]).all():
            return tuple(boxes[0])
        first = int(np.isfinite(boxes).all(-1).argmax())
        why = f"tells of {len(found)} targets"
        if len(found) == 1:
            why = f"tells of no target before frame {first + 1}"
    raise DataError(
        f"--box is missing: {video} {why}. Give left, top, width and height in the "
        "first frame, such as --box=120,80,60,90."
    )


def bar(label: str) -> Callable[[int, int | None], None]:
    """Draws a progress bar, or counts where the end is not known."""

    def draw(done: int, count: int | None) -> None:
        if not count or done > count:
            print(f"\r{label} frame {done}", end="", flush=True)
            return
        full = round(24 * done / count)
        line = f"\r{label} |{'#' * full}{' ' * (24 - full)}| {done}/{count}"
        print(line, end="" if done < count else "\n", flush=True)

    return draw


entry = program.make(__doc__, GROUPS, main)
