"""Images with boxes, sorted out: parts, classes, and what is of no use."""

from __future__ import annotations

import collections
import dataclasses
import warnings

import numpy as np

from hh_keras.data.annotations import Annotated, Found, annotated
from hh_keras.data.box_sets import open_boxes
from hh_keras.data.decoding import native_shape
from hh_keras.data.embedded import BLOOD_CELLS
from hh_keras.errors import DataError

_EVERY = 10  # of a set without parts, every tenth image is held out
_TOLD = 10


@dataclasses.dataclass(frozen=True)
class Objects:
    """Images to learn from and to measure on.

    Attributes:
        name: what was asked for.
        train, validation: their images; none is in both.
        class_names: those of the boxes to learn from, sorted.
        description: source and counts.
        skipped: images and boxes that are of no use, place to reason.
    """

    name: str
    train: tuple[Annotated, ...]
    validation: tuple[Annotated, ...]
    class_names: tuple[str, ...]
    description: dict[str, str]
    skipped: dict[str, str]


def open_objects(
    spec: str = "embedded",
    held_out: str = "val",
    class_names: tuple[str, ...] | None = None,
) -> Objects:
    """Lists images, boxes and classes; decodes nothing.

    Boxes without a size, or outside of their image, are left out, with a line each;
    those that reach past it are cut. Images without boxes stay: there is nothing in
    them. Classes that are not in the training part cannot be learnt: their boxes are
    left out where they are measured on, with a line for each class. So are images to
    learn from that are measured on, too.

    Args:
        spec: "embedded", or what `hh_keras.data.box_sets.open_boxes` takes.
        held_out: the part to measure on, "val" or "test". Of a set without it every
            tenth image is held out.
        class_names: the classes, if they are known; None are those to learn from.

    Raises:
        DataError: there is no such set, or not a box to learn from, or no image to
            measure on.
    """
    skipped: dict[str, str] = {}
    root = str(BLOOD_CELLS) if spec == "embedded" else str(spec)
    parts, how = _parted(open_boxes(root, skipped), held_out, skipped)
    cut: collections.Counter = collections.Counter()
    train, measured = ([_usable(each, skipped, cut) for each in part] for part in parts)
    if not train or not measured:
        raise DataError(
            f"data set '{spec}' holds {len(train)} images to learn from and "
            f"{len(measured)} to measure on{_why(train, skipped)}; it needs both."
        )
    names = class_names or tuple(sorted(_clear_names(train)))
    if not names:
        raise DataError(
            f"data set '{spec}' holds not one box to learn from{_why(train, skipped)}."
        )
    train, measured = (_known(part, names, skipped) for part in (train, measured))
    _tell(skipped)
    text = f"{_told(train)} to learn from, {_told(measured)} to measure on ({how})"
    if cut["boxes"]:
        text += f"; boxes that reached past their images and were cut: {cut['boxes']:,}"
    missing = sorted(set(names) - _clear_names(measured))
    if len(missing) == len(names):
        raise DataError(
            f"data set '{spec}' holds not one box to measure on"
            f"{_why(measured, skipped)}."
        )
    if missing:
        warnings.warn(
            f"{', '.join(missing)}: not a box to measure on, in '{spec}'; the average "
            "precision is that of the other classes.",
            stacklevel=2,
        )
    return Objects(
        str(spec),
        tuple(train),
        tuple(measured),
        names,
        {"source": str(spec), "text": text},
        skipped,
    )


def _clear_names(images):
    """Classes of the boxes that are not of crowds."""
    pairs = ((name, crowd) for x in images for name, crowd in zip(x.names, x.crowd))
    return {name for name, crowd in pairs if not crowd}


def _why(images, skipped):
    if any(len(each.names) for each in images):
        return ": all are of crowds, or difficult"
    if not skipped:
        return ""
    place, reason = next(iter(skipped.items()))
    return f": {len(skipped):,} are of no use, the first is {place}: {reason}"


def _parted(
    found: Found, held_out: str, skipped: dict[str, str]
) -> tuple[tuple[list, list], str]:
    train, measured = (_once(found.get(part, [])) for part in ("train", held_out))
    if measured:
        places = {each.place for each in measured}
        for each in train:
            if each.place in places:
                skipped[f"{each.place} (to learn from)"] = "it is measured on, too"
        return (
            [each for each in train if each.place not in places],
            measured,
        ), "a part of its own"
    chosen = set(range(len(train))[4::_EVERY] or range(len(train))[-1:])
    split: tuple[list, list] = ([], [])
    for place, each in enumerate(train):
        split[place in chosen].append(each)
    return split, "every tenth"


def _once(images: list[Annotated]) -> list[Annotated]:
    """Every image once; one that is listed several times has the boxes of all."""
    found: dict[str, Annotated] = {}
    for new in images:
        known = found.setdefault(new.place, new)
        if known is new:
            continue
        boxes = list(zip(map(tuple, known.corners), known.names, known.crowd))
        more = list(zip(map(tuple, new.corners), new.names, new.crowd))
        rows = [*boxes, *(box for box in more if box not in boxes)]
        size = known.size or new.size
        found[new.place] = annotated(new.place, new.read, rows, size)
    return list(found.values())


def _usable(
    image: Annotated, skipped: dict[str, str], cut: collections.Counter
) -> Annotated:
    """The image with the boxes that are of use, cut to it."""
    size = image.size or _own_size(image)
    reasons = [
        _unusable(box, size) if name else "its class has no name"
        for box, name in zip(image.corners, image.names)
    ]
    skipped |= {f"{image.place}#{k}": why for k, why in enumerate(reasons) if why}
    kept = _only(image, np.array([not why for why in reasons], bool))
    if size is None or not len(kept.corners):
        return kept
    height, width = size
    inside = np.clip(kept.corners, 0, [width, height, width, height])
    # Rounded annotations reach past the image by less than a pixel.
    cut["boxes"] += int((np.abs(inside - kept.corners).max(-1) > 1).sum())
    return dataclasses.replace(kept, corners=inside)


def _own_size(image: Annotated) -> tuple[int, int] | None:
    """Height and width by the file itself; None without boxes, or if none is there."""
    try:
        return native_shape(image.read())[:2] if image.names else None
    except (OSError, ValueError):
        return None  # left out once it is decoded


def _only(image, which):
    names = tuple(name for name, good in zip(image.names, which) if good)
    return dataclasses.replace(
        image, corners=image.corners[which], names=names, crowd=image.crowd[which]
    )


def _unusable(box: np.ndarray, size: tuple[int, int] | None) -> str:
    """Why nothing can be learnt from a box; "" if something can."""
    if not np.isfinite(box).all():
        return "its box is not four numbers"
    left, top, right, low = box
    if right <= left or low <= top:
        return f"its box is empty, {right - left:g}x{low - top:g} pixels"
    if max(right - left, low - top) < 1:
        return (
            f"its box is {right - left:.2g}x{low - top:.2g} pixels, less than one "
            "(boxes are in pixels, not in shares of the image)"
        )
    if right <= 0 or low <= 0 or (size and (left >= size[1] or top >= size[0])):
        return "its box lies outside of the image"
    return ""


def _known(images, names, skipped):
    """The images with the boxes of known classes."""
    unknown: collections.Counter = collections.Counter()
    found = []
    for image in images:
        which = np.array([name in names for name in image.names], bool)
        unknown.update(name for name in image.names if name not in names)
        found.append(image if which.all() else _only(image, which))
    for name, count in unknown.items():
        boxes = "its box is" if count == 1 else f"its {count:,} boxes are"
        skipped[f"class '{name}'"] = f"no box to learn it from; {boxes} left out"
    return found


def _told(images):
    boxes = sum(len(each.names) for each in images)
    empty = sum(not each.names for each in images)
    text = f"{len(images):,} images with {boxes:,} boxes"
    return text + (f" ({empty:,} without any)" if empty else "")


def _tell(skipped):
    for place, reason in list(skipped.items())[:_TOLD]:
        warnings.warn(f"{place} is left out: {reason}.", stacklevel=3)
    if len(skipped) > _TOLD:
        warnings.warn(
            f"more than {_TOLD} images and boxes are left out, {len(skipped):,} by "
            "now; further ones are counted.",
            stacklevel=3,
        )
