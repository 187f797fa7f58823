"""From videos to pairs of an exemplar and a search image, as batches.

Every batch is a function of a seed and of its number, see `hh_keras.data.seeded`.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from hh_keras.data.loading import ImageData
from hh_keras.data.pipeline import answer, end_decoding, left_out, ready
from hh_keras.data.seeded import anew, called, numbered, own_seed
from hh_keras.errors import DataError
from hh_keras.tasks.tracking.data.pictures import Picture
from hh_keras.tasks.tracking.data.regions import (
    GEOMETRY,
    Geometry,
    Regions,
    cut_out,
    unusable,
)
from hh_keras.tasks.tracking.data.sequence import Video
from hh_keras.tasks.tracking.data.targets import open_targets
from hh_keras.tasks.tracking.pairs.colours import AUGMENTATIONS, augmented
from hh_keras.tasks.tracking.pairs.drawing import (
    DRAWING,
    Drawing,
    Subject,
    exemplar_image,
    order,
    search_image,
    subjects_of,
    two_frames,
)

IN_MEMORY_BYTES = 1024 * 2**20
"""What the surroundings of targets may take that are kept in memory."""

_PER_VIDEO, _MOST, _MOST_HELD_OUT = 20, 20_000, 1_000  # pairs
_SEARCH, _VALIDATION = -1, -2  # in place of an epoch's number
_TRIES = 10  # other frames in place of one that cannot be read
_TRIED_FIRST = 100  # frames, before it is said that none can be read


def load_pairs(
    spec: str | Path | Sequence[Video] = "embedded",
    geometry: Geometry = GEOMETRY,
    drawing: Drawing = DRAWING,
    batch_size: int = 16,
    seed: int = 0,
    augment: str = "track",
    limit: int | None = None,
    *,
    pairs_per_epoch: int | None = None,
    validation_pairs: int | None = None,
    memory_bytes: int | None = None,
    on_bad_image: str = "skip",
) -> ImageData:
    """Loads videos and pictures as batches of `((exemplars, searches), boxes)`.

    Exemplars show a target in their middle. Search images are of a frame of the same
    video, shifted and zoomed: boxes are left, top, width and height of the target in
    sides of the search image, and may reach past it; NaN where the search image is of
    another object. Where squares reach past a frame, they have its mean colour.
    Pictures, and videos with one box, are pairs of themselves, with half as much shift
    again and the zoom squared.

    Args:
        spec: see `hh_keras.tasks.tracking.data.targets.open_targets`.
        geometry: sizes of the images, and how they are laid around the target.
        drawing: which frames make a pair.
        batch_size: pairs per step.
        seed: of frames, shifts and augmentation.
        augment: one of `AUGMENTATIONS`.
        limit: at most this many videos and pictures per part.
        pairs_per_epoch: None is 20 for each video and one for each picture, at most
            20,000. Videos, and pictures, are drawn equally often.
        validation_pairs: the same for those that are held out, at most 1,000. They are
            the same in every epoch.
        memory_bytes: what surroundings of targets that are kept may take; None is
            `IN_MEMORY_BYTES`. The rest is decoded whenever it is drawn.
        on_bad_image: "skip" draws another pair in place of an image that cannot be
            read, and notes it in `skipped`; "fail" raises. Boxes that are of no use are
            left out and noted either way.

    Returns:
        An `hh_keras.data.ImageData` without classes; pixels are float32 0..255, boxes
        float32 `(batch, 4)`. `image_shape` has the shapes of both images. `num_train`
        counts pairs of an epoch.

    Raises:
        DataError: an argument is out of its range, or the data cannot be used.
    """
    _check(geometry, drawing, batch_size, augment, limit, on_bad_image)
    targets = open_targets(spec)
    skipped = targets.skipped
    note = left_out(skipped, on_bad_image)
    most = IN_MEMORY_BYTES if memory_bytes is None else memory_bytes
    train, held_out = (
        _Pairs(part[:limit], geometry, drawing, most, note, skipped)
        for part in (targets.train, targets.validation)
    )
    counts = (
        train.count(pairs_per_epoch, _MOST),
        held_out.count(validation_pairs, _MOST_HELD_OUT),
    )
    steps = [math.ceil(count / batch_size) for count in counts]
    sides = geometry.exemplar_size, geometry.search_size
    images = tuple(tf.TensorSpec((None, s, s, 3), tf.uint8) for s in sides)
    gives = images, tf.TensorSpec((None, 4), tf.float32)
    atexit.register(end_decoding)

    def batches(pairs, count, seeds, how):
        ordered = functools.lru_cache(4)(functools.partial(pairs.order, count))

        def pick(own, step):
            answer()
            own, first = int(own), int(step) * batch_size
            chosen = enumerate(ordered(own)[first : first + batch_size], first)
            return pairs.batch(chosen, own, how)

        return ready(called(pick, seeds, gives))

    def epoch(number, first=0):
        own = numbered(own_seed(seed, number), first, steps[0])
        return batches(train, counts[0], own, augment)

    search = numbered(own_seed(seed, _SEARCH), 0, steps[0])
    every = numbered(own_seed(seed, _VALIDATION), 0, steps[1])
    return ImageData(
        name=targets.name,
        train=batches(train, counts[0], anew(seed, steps[0]), augment),
        epoch=epoch,
        validation=batches(held_out, counts[1], every, "none"),
        search=batches(train, counts[0], search, "none"),
        class_names=(),
        num_train=counts[0],
        num_validation=counts[1],
        image_shape=tuple((side, side, 3) for side in sides),
        description=targets.description,
        skipped=skipped,
    )


def _check(geometry, drawing, batch_size, augment, limit, on_bad_image):
    for name, value in (
        ("exemplar_size", geometry.exemplar_size),
        ("search_size", geometry.search_size),
        ("gap", drawing.gap),
        ("batch_size", batch_size),
        ("limit", 1 if limit is None else limit),
    ):
        if not isinstance(value, int) or value < 1:
            raise DataError(f"{name}={value!r}: use a whole number of at least 1.")
    for name, value, low, high in (
        ("exemplar_context", geometry.exemplar_context, 1, 20),
        ("search_context", geometry.search_context, 1, 20),
        ("zoom", geometry.zoom, 1, 3),
        ("shift", geometry.shift, 0, 0.49),
        ("negatives", drawing.negatives, 0, 1),
        ("stills", drawing.stills, 0, 1),
    ):
        if not low <= value <= high:
            raise DataError(f"{name}={value!r}: use a number from {low} to {high}.")
    if augment not in AUGMENTATIONS:
        raise DataError(f"augment '{augment}' is none of {', '.join(AUGMENTATIONS)}.")


class _Pairs:
    """The pairs of one part of a data set, each a function of a seed."""

    def __init__(
        self,
        videos: Sequence[Video],
        geometry: Geometry,
        drawing: Drawing,
        most: float,
        note: Callable,
        skipped: dict[str, str],
    ) -> None:
        self.geometry, self.drawing = geometry, drawing
        self.note, self.skipped = note, skipped
        self.subjects: list[Subject] = subjects_of(videos, geometry, skipped)
        self.regions = Regions(self._region, most)
        numbered = list(enumerate(subject.rows for subject in self.subjects))
        first = ((k, int(rows[0])) for k, rows in numbered)
        every = ((k, int(row)) for k, rows in numbered for row in rows)
        tried = itertools.islice(itertools.chain(first, every), _TRIED_FIRST)
        if not any(self.regions(*place) for place in tried):
            raise DataError(
                f"not one of the {len(videos)} videos and pictures can be used"
                + "".join(f": {k}: {v}." for k, v in [*skipped.items()][-1:])
            )

    def _region(self, number, row):
        subject = self.subjects[number]
        video, box = subject.video, subject.video.boxes[row]
        place = video.name if isinstance(video, Picture) else f"{video.name}#{row}"
        try:
            frame = video.frames[row]()
        except (OSError, ValueError) as error:
            self.note(place.encode(), error)
            return None
        reason = unusable(box, frame.shape)
        if reason:
            self.skipped[place] = reason
            return None
        return cut_out(frame, box, subject.geometry)

    def count(self, wanted: int | None, most: int) -> int:
        """How many pairs an epoch has."""
        if wanted is not None and wanted < 1:
            raise DataError(f"pairs={wanted}: use a whole number of at least 1.")
        each = (1 if subject.still else _PER_VIDEO for subject in self.subjects)
        return wanted or min(sum(each), most)

    def order(self, count: int, own: int) -> np.ndarray:
        """Which subject each pair of an epoch is of."""
        return order(self.subjects, count, self.drawing, own)

    def batch(self, chosen, own, augment):
        """Exemplars, search images and boxes; `chosen` are (pair's number, subject)."""
        found = [self._pair(k, number, own, augment) for k, number in chosen]
        pairs = [pair for pair in found if pair]
        if not pairs:
            sides = self.geometry.exemplar_size, self.geometry.search_size
            empty = [np.zeros((0, side, side, 3), np.uint8) for side in sides]
            return *empty, np.zeros((0, 4), np.float32)
        exemplars, searches, boxes = zip(*pairs)
        return np.stack(exemplars), np.stack(searches), np.float32(boxes)

    def _pair(self, k, number, own, augment):
        rng = np.random.default_rng([own, k])
        for _ in range(_TRIES):
            first, second = two_frames(self.subjects, number, self.drawing, rng)
            one, two = self.regions(*first), self.regions(*second)
            if one and two:
                return self._images(one, two, first, second, augment, rng)
            number = int(rng.integers(len(self.subjects)))
        return None

    def _images(self, one, two, first, second, augment, rng):
        exemplar = exemplar_image(one, self.geometry)
        geometry = self.subjects[second[0]].geometry
        search, box = search_image(two, geometry, rng)
        if augment != "none":
            exemplar, search, box = augmented(exemplar, search, box, rng)
        if first[0] != second[0]:
            box = np.full(4, np.nan)
        return exemplar, search, box / self.geometry.search_size
