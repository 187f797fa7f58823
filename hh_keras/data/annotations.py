"""Images with boxes, in folders as COCO and VOC have them.

COCO: `annotations/*.json` (`instances_*.json`, if there are any); images in the folder
itself, in `images/`, or in the part's, such as `train2017/`. "val" or "test" as a word
of a file's name tells the part: `instances_val2017`, not `latest`.

VOC: `Annotations/*.xml`, `JPEGImages/`; `ImageSets/Main/val.txt` and `test.txt`, where
they are, name the images of those parts.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from hh_keras.data.folders import read_file
from hh_keras.errors import DataError

PARTS = ("train", "val", "test")
_MISSING = "there is no such file"
_ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")


@dataclasses.dataclass(frozen=True, eq=False)
class Annotated:
    """An image and what is in it.

    Attributes:
        place: its path, or the record's; unique in its data set.
        read: returns the content of its file; raises OSError.
        corners: float `(n, 4)`: left, top, right, bottom in pixels, the image's left
            upper corner is (0, 0). As the data have them, NaN where they are not four
            numbers.
        names: the class of each box.
        crowd: bool `(n,)`: boxes around many objects, or hard to tell: neither to learn
            nor to be counted as missed.
        size: height and width that the boxes are for; None if the data do not tell.
    """

    place: str
    read: Callable[[], bytes]
    corners: np.ndarray
    names: tuple[str, ...]
    crowd: np.ndarray
    size: tuple[int, int] | None = None


Found = dict[str, list[Annotated]]
"""Part → its images, those without boxes, too; some parts may be missing."""


def open_coco(root: Path, skipped: dict[str, str]) -> Found:
    """Reads the boxes of a COCO folder.

    Args:
        root: see above.
        skipped: gets the images that are missing, or whose boxes cannot be told from
            another image's, place to reason.

    Raises:
        DataError: a file of annotations that is none, or with a class id of two names.
    """
    files = sorted(root.glob("annotations/*.json"))
    found: Found = {}
    for path in [f for f in files if f.stem.startswith("instances")] or files:
        found.setdefault(_part(path.stem), []).extend(_of_json(root, path, skipped))
    return found


def _part(name):
    """ "val" or "test", if a word of the name says so, such as of "miniVal2014"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    found = re.search(r"(?<![a-z])(mini_?)?(val|test)(id|idation|dev)?(?![a-z])", words)
    return found[2] if found else "train"


def _of_json(root: Path, path: Path, skipped: dict[str, str]) -> Iterable[Annotated]:
    try:
        content = json.loads(path.read_bytes())
        names = _names(content["categories"], path)
        rows: dict = {each["id"]: [] for each in content["images"]}
        for place, each in enumerate(content["annotations"]):
            name, own = names.get(each["category_id"]), rows.get(each["image_id"])
            if name is None or own is None:
                what = "class" if name is None else "image"
                skipped[f"{path}#{place}"] = f"there is no such {what} in the file"
                continue
            own.append((_corners(each.get("bbox")), name, bool(each.get("iscrowd"))))
        files = _files(content["images"], skipped)
    except DataError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"'{path}' holds no boxes as COCO has them: an object with `images`, "
            f"`categories` and `annotations` ({type(error).__name__}: {error})."
        ) from error
    folders = [root, root / "images"]
    folders += [each / path.stem.rpartition("_")[2] for each in folders]
    for number, name, size in files:
        paths = [folder / name for folder in folders]
        yield from _image(paths, name, rows[number], size, skipped)


def _names(categories: Iterable[Mapping], path: Path) -> dict:
    names: dict = {}
    for each in categories:
        name = str(each["name"])
        if names.setdefault(each["id"], name) != name:
            raise DataError(
                f"'{path}' calls class id {each['id']} both {names[each['id']]!r} and "
                f"{name!r}: give each class an id of its own."
            )
    return names


def _files(images: Iterable[Mapping], skipped: dict[str, str]) -> list[tuple]:
    """Id, file name, sides of each image; of one id only those of one file."""
    found: dict = {}
    for each in images:
        of_id = found.setdefault(each["id"], {})
        of_id.setdefault(str(each["file_name"]), _sides(each))
    files = []
    for number, of_id in found.items():
        if len(of_id) == 1:
            files += [(number, name, sides) for name, sides in of_id.items()]
            continue
        for name in of_id:
            others = ", ".join(other for other in of_id if other != name)
            skipped[name] = f"its id {number} is that of {others}, too"
    return files


def _sides(image: Mapping) -> tuple[int, int] | None:
    height, width = (int(image.get(key) or 0) for key in ("height", "width"))
    return (height, width) if height and width else None


def _corners(box):
    """Corners of left, top, width, height; where they are no numbers, NaN."""
    try:
        left, top, width, height = map(float, box)
    except (ValueError, TypeError):
        return [float("nan")] * 4
    return [left, top, left + width, top + height]


def _image(paths, name, rows, size, skipped):
    """The image in the first of these files that is there, a list of one or none."""
    path = next((str(path) for path in paths if path.is_file()), None)
    if path is None:
        skipped[name] = _MISSING
        return []
    return [annotated(path, functools.partial(read_file, path.encode()), rows, size)]


def annotated(
    place: str,
    read: Callable[[], bytes],
    rows: Iterable[tuple],
    size: tuple[int, int] | None,
) -> Annotated:
    """An `Annotated` of rows `(corners, class name, whether a crowd)`."""
    corners, names, crowd = zip(*rows) if rows else ((), (), ())
    return Annotated(
        place,
        read,
        np.array(corners, float).reshape(-1, 4),
        tuple(names),
        np.array(crowd, bool),
        size,
    )


def open_voc(root: Path, skipped: dict[str, str]) -> Found:
    """Reads the boxes of a VOC folder; arguments and result as of `open_coco`.

    Objects marked as difficult are crowds.
    """
    parts: dict[str, str] = {}
    for part in PARTS[1:]:
        listed = root / "ImageSets" / "Main" / f"{part}.txt"
        if listed.is_file():
            lines = listed.read_text("utf-8-sig", "replace").splitlines()
            parts |= {line.split()[0]: part for line in lines if line.strip()}
    found: Found = {}
    for path in sorted((root / "Annotations").glob("**/*.xml")):
        try:
            name, size, rows = _of_xml(path)
        except (OSError, ValueError, ElementTree.ParseError) as error:
            skipped[str(path)] = f"it holds no boxes as VOC has them ({error})"
            continue
        folder = root / "JPEGImages" / path.parent.relative_to(root / "Annotations")
        # The name that labelling tools note is often another file's.
        stems = [folder / f"{path.stem}{ending}" for ending in _ENDINGS]
        images = _image([*stems, folder / name], name, rows, size, skipped)
        found.setdefault(parts.get(path.stem, "train"), []).extend(images)
    return found


def _of_xml(path: Path) -> tuple[str, tuple | None, list]:
    """File name, height and width, rows."""
    tree = ElementTree.parse(path).getroot()
    name = tree.findtext("filename") or f"{path.stem}.jpg"
    sides = [_number(tree.findtext(f"size/{key}")) for key in ("height", "width")]
    rows = []
    for each in tree.iterfind("object"):
        hard = (each.findtext("difficult") or "0").strip() == "1"
        corners = [
            _number(each.findtext(f"bndbox/{key}"))
            for key in ("xmin", "ymin", "xmax", "ymax")
        ]
        corners[:2] = corners[0] - 1, corners[1] - 1  # pixels, counted from 1
        rows.append((corners, (each.findtext("name") or "").strip(), hard))
    size = (int(sides[0]), int(sides[1])) if min(sides) > 0 else None
    return name, size, rows


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return float("nan")
