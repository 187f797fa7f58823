"""Which two frames make a pair, and where in them the squares lie."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from hh_keras.tasks.tracking.data import boxes
from hh_keras.tasks.tracking.data.cropping import box_in_crop, crop, target_side
from hh_keras.tasks.tracking.data.pictures import Picture
from hh_keras.tasks.tracking.data.regions import Geometry, Region, unusable
from hh_keras.tasks.tracking.data.sequence import Video


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Which frames make a pair.

    Attributes:
        gap: how many frames they are apart at most, before or after.
        negatives: share of pairs whose search image shows another video's object.
        stills: share of pairs that are of one image, where there are videos too.

    Sources: a gap of 100 is SiamFC's (arXiv:1606.09549); still images and negatives
    are those of SiamRPN++ (arXiv:1812.11703).
    """

    gap: int = 100
    negatives: float = 0.1
    stills: float = 0.4


DRAWING = Drawing()


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A video or a picture to draw pairs from.

    Attributes:
        video: it.
        rows: int, the frames whose target is known.
        still: whether both images of a pair are of one frame.
        geometry: how squares are laid around its targets.
    """

    video: Video
    rows: np.ndarray
    still: bool
    geometry: Geometry


def subjects_of(
    videos: Iterable[Video], geometry: Geometry, skipped: dict[str, str]
) -> list[Subject]:
    """Those of the videos that pairs can be drawn from.

    Args:
        videos: the whole.
        geometry: of videos; for single frames, it is made stronger.
        skipped: gets the boxes without a size, place to reason.
    """
    found = []
    for video in videos:
        known = np.isfinite(video.boxes).all(-1)
        reasons = {row: unusable(video.boxes[row]) for row in np.flatnonzero(known)}
        skipped |= {
            f"{video.name}#{row}": each for row, each in reasons.items() if each
        }
        rows = np.array([row for row, reason in reasons.items() if not reason], int)
        still = isinstance(video, Picture) or len(rows) == 1
        laid = geometry.stronger() if still else geometry
        if len(rows):
            found.append(Subject(video, rows, still, laid))
    return found


def order(
    subjects: Sequence[Subject], count: int, drawing: Drawing, own: int
) -> np.ndarray:
    """Which subject each pair of an epoch is of, int `(count,)`.

    Args:
        subjects: the whole.
        count: of pairs.
        drawing: has the share of stills. Within a kind, all come equally often.
        own: seed of the epoch.
    """
    rng = np.random.default_rng([own, 2**32])
    still = np.array([each.still for each in subjects])
    kinds = np.flatnonzero(still), np.flatnonzero(~still)
    share = drawing.stills if all(map(len, kinds)) else float(len(kinds[0]) > 0)
    first = round(share * count)
    chosen = [_evenly(*each, rng) for each in zip(kinds, (first, count - first))]
    return rng.permutation(np.concatenate(chosen))


def _evenly(choices, count, rng):
    times = math.ceil(count / max(1, len(choices)))
    every = [rng.permutation(choices) for _ in range(times)]
    return np.concatenate([[], *every]).astype(int)[:count]


def two_frames(
    subjects: Sequence[Subject],
    number: int,
    drawing: Drawing,
    rng: np.random.Generator,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Exemplar and search frame of a pair, each as (subject, frame).

    Args:
        subjects: the whole.
        number: which of them the exemplar is of.
        drawing: has their gap, and the share of those of two subjects.
        rng: decides.
    """
    of = subjects[number]
    first = int(rng.choice(of.rows))
    if rng.random() < drawing.negatives and len(subjects) > 1:
        other = (number + int(rng.integers(1, len(subjects)))) % len(subjects)
        return (number, first), (other, int(rng.choice(subjects[other].rows)))
    second = first
    near = of.rows[(np.abs(of.rows - first) <= drawing.gap) & (of.rows != first)]
    if not of.still and len(near):
        second = int(rng.choice(near))
    return (number, first), (number, second)


def exemplar_image(region: Region, geometry: Geometry) -> np.ndarray:
    """The square with the target in its middle, uint8 `(size, size, 3)`."""
    side = geometry.exemplar_context * target_side(region.box)
    middle = boxes.centres(region.box)
    return crop(region.pixels, middle, side, geometry.exemplar_size, region.fill)


def search_image(
    region: Region, geometry: Geometry, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A square shifted and zoomed at random, and the target's box in its pixels."""
    right, down, larger = rng.uniform(-1, 1, 3)
    side = geometry.search_context * target_side(region.box) * geometry.zoom**larger
    middle = boxes.centres(region.box) + geometry.shift * side * np.array([right, down])
    size = geometry.search_size
    image = crop(region.pixels, middle, side, size, region.fill)
    return image, box_in_crop(region.box, middle, side, size)
