"""What pairs are drawn from: videos and pictures with boxes, in two parts."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from hh_keras.errors import DataError
from hh_keras.tasks.tracking.data import crops
from hh_keras.tasks.tracking.data.pictures import Picture
from hh_keras.tasks.tracking.data.sequence import Video
from hh_keras.tasks.tracking.data.stills import open_stills

_HELD_OUT_SHARE = 10  # of a set without parts, every tenth sequence is held out


@dataclasses.dataclass(frozen=True)
class Targets:
    """Sequences to learn from and to measure on; none is in both.

    Attributes:
        name: what was asked for.
        train, validation: the parts.
        description: source, licence and the like.
        skipped: rows that are of no use, place to reason.
        whole: whether videos are whole, so that a target can be followed through
            them: neither crops around it nor still images.
    """

    name: str
    train: tuple[Video, ...]
    validation: tuple[Video, ...]
    description: dict[str, str]
    skipped: dict[str, str]
    whole: bool


Found = dict[str, list[Video]]
"""Part → its sequences; "val" may be missing or empty."""


def open_targets(spec: str | Path | Sequence[Video]) -> Targets:
    """Lists sequences and their boxes; decodes nothing.

    A set without a part to measure on gives every tenth sequence, by name.

    Args:
        spec: a folder of ready crops (see `.crops`), of images
            with COCO or VOC boxes, or "tfds:NAME", a detection set of
            tensorflow-datasets (`.stills`); what else
            `.sequences.open_videos` takes, such as "embedded";
            or a list of `Video`.

    Raises:
        DataError: there is no such set, or nothing in it can be used.
    """
    skipped: dict[str, str] = {}
    if not isinstance(spec, (str, Path)):
        return _parted("videos", {"train": list(spec)}, skipped, True)
    name = os.fspath(spec)
    root = Path(name).expanduser()
    if crops.parts(root):
        return _parted(name, crops.open_crops(root, skipped), skipped, False)
    if _are_stills(name):
        return _parted(name, open_stills(name, skipped), skipped, False)
    return _parted(name, _videos(name), skipped, True)


def are_whole(spec: str | Path) -> bool:
    """Whether a set, if it is one, is of whole videos; see `Targets`."""
    name = os.fspath(spec)
    return not (crops.parts(Path(name).expanduser()) or _are_stills(name))


def _are_stills(name: str) -> bool:
    """Whether a set has images with boxes, as detection has them."""
    return name.startswith("tfds:") or _has_boxes(Path(name).expanduser())


def _has_boxes(root: Path) -> bool:
    """Whether a folder is one of COCO or VOC."""
    if any(root.glob("annotations/*.json")):
        return True
    return (root / "Annotations").is_dir() and (root / "JPEGImages").is_dir()


def _videos(spec: str) -> Found:
    from hh_keras.tasks.tracking.data.sequences import open_videos

    try:
        train = open_videos(spec, "train")
    except DataError:  # it has no parts
        return {"train": open_videos(spec)}
    try:
        return {"train": train, "val": open_videos(spec, "val")}
    except DataError:
        return {"train": train}


def _parted(name: str, found: Found, skipped: dict[str, str], whole: bool) -> Targets:
    # Videos before pictures: a tenth of each is held out.
    train, held_out = (
        sorted(found.get(part, ()), key=lambda v: (isinstance(v, Picture), v.name))
        for part in ("train", "val")
    )
    how = "a part of its own"
    if not held_out:
        how = "every tenth"
        chosen = range(len(train))[4::_HELD_OUT_SHARE] or range(len(train))[-1:]
        held_out = [train[k] for k in chosen]
        train = [video for k, video in enumerate(train) if k not in set(chosen)]
    if not train:
        raise DataError(_too_few(name, len(held_out), skipped))
    text = f"{_told(train)} to learn from, {_told(held_out)} to measure on ({how})"
    description = {"source": name, "text": text}
    parts = tuple(train), tuple(held_out)
    return Targets(name, *parts, description, skipped, whole)


def _told(videos):
    pictures = sum(isinstance(video, Picture) for video in videos)
    kinds = (len(videos) - pictures, "videos"), (pictures, "pictures")
    return " and ".join(f"{count:,} {what}" for count, what in kinds if count) or "none"


def _too_few(name, count, skipped):
    if count:
        return (
            f"data set '{name}' holds one sequence only; it needs one to learn from "
            "and one to measure on."
        )
    left = ""
    if skipped:
        place, reason = next(iter(skipped.items()))
        left = f": {len(skipped):,} are of no use, the first is {place}: {reason}"
    return f"data set '{name}' holds not one box that can be learnt from{left}."
