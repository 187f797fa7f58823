"""Folders of images and masks: which belong together, and what the masks mean."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hh_keras.data.embedded import COLLAGES
from hh_keras.data.folders import HELD_OUT, images_below, read_file
from hh_keras.errors import DataError
from hh_keras.tasks.segmentation.classes import Classes, parse_classes
from hh_keras.tasks.segmentation.masks import mask_values

MASKS = ("masks", "annotations", "labels", "annot")
"""Names of folders of masks; the first that exists is taken."""

_LIST = "classes.txt"
_LAYOUTS = "train/images/ and train/masks/, images/train/ and masks/train/, or train/ "
_LAYOUTS += "and trainannot/"
_OF_EMBEDDED = {
    "source": "clothes of Fashion-MNIST laid over photographs: synthetic "
    "(PROVENANCE.md)",
    "licence": "MIT (clothes), CC BY 4.0 and CC0 1.0 (photographs)",
}


@dataclasses.dataclass(frozen=True)
class Masked:
    """One image and its mask, not read yet.

    Attributes:
        place: names the image in messages.
        read, read_mask: return the bytes of the files; may raise OSError.
    """

    place: str
    read: Callable[[], bytes]
    read_mask: Callable[[], bytes]


@dataclasses.dataclass(frozen=True)
class MaskedImages:
    """A set of images with masks.

    Attributes:
        name: what was asked for.
        train, validation: its parts.
        classes: what the masks mean.
        description: where it comes from.
    """

    name: str
    train: tuple[Masked, ...]
    validation: tuple[Masked, ...]
    classes: Classes
    description: dict[str, str]


def open_masked(
    spec: str | Path = "embedded",
    classes: str | None = None,
    ignore_index: int | None = None,
    held_out: Sequence[str] = HELD_OUT,
) -> MaskedImages:
    """Lists a set of images with masks; decodes nothing.

    Args:
        spec: "embedded", or the path of a folder with images and masks of the same
            names, to train on and to measure on (`val`, `validation` or `test`).
        classes: lines of a list of classes, separated by commas, see `parse_classes`;
            None reads `classes.txt` in the folder.
        ignore_index: see `parse_classes`.
        held_out: names of the part to measure on; the first that is there is taken.

    Returns:
        `MaskedImages`, in the order of their names. An image without a mask is among
        them: reading its mask raises.

    Raises:
        DataError: there is no such set, or nobody says what its classes are.
    """
    spec = os.fspath(spec)
    root = COLLAGES if spec == "embedded" else Path(spec).expanduser()
    if not root.is_dir():
        kind = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"data set '{spec}' {kind}: give a folder of images and masks, "
            f"{_LAYOUTS}, or 'embedded'."
        )
    measured = next((name for name in held_out if _part(root, name)), None)
    folders = [_part(root, name) for name in ("train", measured) if name]
    if len(folders) < 2 or None in folders:
        what = "train" if not folders or folders[0] is None else "val"
        raise DataError(
            f"data set '{root}' has no images and masks to "
            f"{'train' if what == 'train' else 'measure'} on ({what}): lay them out as "
            f"{_LAYOUTS}; val may be called {' or '.join(HELD_OUT[1:])}."
        )
    meaning = _classes(root, classes, ignore_index, folders[0])
    parts = [_listed(*both) for both in folders if both]
    text = f"{len(parts[0])} training and {len(parts[1])} validation images"
    description = {"source": str(root), "text": f"{text} with masks ({measured})"}
    if spec == "embedded":
        description |= _OF_EMBEDDED
    return MaskedImages(spec, parts[0], parts[1], meaning, description)


def _part(root, name):
    """The folders of images and of masks of a part; None if there are none."""
    pairs = [(root / name / "images", root / name / each) for each in MASKS]
    pairs += [(root / "images" / name, root / each / name) for each in MASKS]
    pairs += [(root / name, root / f"{name}{each}") for each in ("annot", "_masks")]
    return next((pair for pair in pairs if pair[0].is_dir() and pair[1].is_dir()), None)


def _listed(images, masks):
    paths = [Path(os.fsdecode(path)) for path in images_below(images)]
    if not paths:
        raise DataError(f"'{images}' holds no image files: put some into it.")
    known = _stems(masks)
    return tuple(
        Masked(
            str(path),
            functools.partial(read_file, os.fsencode(path)),
            functools.partial(_read_mask, known, _stem(images, path), masks),
        )
        for path in paths
    )


def _stems(folder):
    paths = [Path(os.fsdecode(path)) for path in images_below(folder)]
    return {_stem(folder, path): path for path in paths}


def _stem(folder, path):
    return str(path.relative_to(folder).with_suffix(""))


def _read_mask(known: dict, stem: str, folder: Path) -> bytes:
    if stem not in known:
        raise ValueError(f"there is no {stem}.png in {folder}")
    return read_file(os.fsencode(known[stem]))


def _classes(root, text, ignore_index, folders):
    if text is not None:
        return parse_classes(text.split(","), ignore_index, "--classes")
    path = root / _LIST
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not in UTF-8 ({error}): save it so.") from error
    except OSError as error:
        raise DataError(
            f"{path} is missing, which tells what the masks mean{_seen(folders[1])}: "
            "write a line for every class, VALUE NAME, or give --classes, such as "
            "--classes=0:background,255:person."
        ) from error
    return parse_classes(lines, ignore_index, str(path))


def _seen(folder: Path) -> str:
    """What the first mask holds, for the message."""
    for path in images_below(folder)[:1]:
        try:
            values = np.unique(mask_values(read_file(path)))
        except (OSError, ValueError):
            continue
        told = ", ".join(map(str, values[:12])) + (", …" if len(values) > 12 else "")
        return f" ({Path(os.fsdecode(path)).name} holds {told})"
    return ""


def without_masks(paths: Sequence[bytes], folder: Path) -> list[Path]:
    """Paths below a folder that do not lie in one of masks."""
    found = [Path(os.fsdecode(path)) for path in paths]
    return [
        path
        for path in found
        if not any(
            part in MASKS or part.endswith("annot")
            for part in path.relative_to(folder).parts[:-1]
        )
    ]
