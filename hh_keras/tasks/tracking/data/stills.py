"""Folders of still images with boxes, as detection has them: COCO and VOC.

COCO: `annotations/*.json` (`instances_*.json`, if there are any), images in the folder
itself, in `images/`, or in the part's, such as `train2017/`. A file with "val" in its
name is to measure on; one with "test" is passed over. Crowds are left out.

VOC: `Annotations/*.xml`, `JPEGImages/`; `ImageSets/Main/val.txt`, if there is one,
names the images to measure on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from hh_keras.errors import DataError
from hh_keras.tasks.tracking.data.pictures import picture, reader
from hh_keras.tasks.tracking.data.sequence import Video

_MISSING = "there is no such file"


def open_coco(root: Path, skipped: dict[str, str]) -> dict[str, list[Video]]:
    """Reads the boxes of a COCO folder.

    Args:
        root: see above.
        skipped: gets images and boxes that are of no use, place to reason.

    Returns:
        Part → its pictures.

    Raises:
        DataError: a file of annotations that is none.
    """
    files = sorted(root.glob("annotations/*.json"))
    found: dict[str, list[Video]] = {"train": [], "val": []}
    for path in [f for f in files if f.stem.startswith("instances")] or files:
        if "test" not in path.stem:
            part = "val" if "val" in path.stem else "train"
            found[part] += _of_json(root, path, skipped)
    return found


def _of_json(root, path, skipped):
    try:
        content = json.loads(path.read_bytes())
        images = {each["id"]: each for each in content["images"]}
        boxes: dict = {number: [] for number in images}
        for each in content["annotations"]:
            if each["image_id"] in boxes and not each.get("iscrowd"):
                boxes[each["image_id"]].append(_four(each.get("bbox")))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"'{path}' holds no boxes as COCO has them: an object with `images` and "
            f"`annotations` ({type(error).__name__}: {error})."
        ) from error
    folders = [root, root / "images"]
    folders += [each / path.stem.rpartition("_")[2] for each in folders]
    for number, image in images.items():
        if boxes[number]:
            name, sides = str(image["file_name"]), (image["height"], image["width"])
            yield from _found(folders, name, boxes[number], sides, skipped)


def _four(box):
    """Numbers of a box; where they are none, NaN."""
    whole = isinstance(box, list) and len(box) == 4
    return [float(x) for x in box] if whole else [float("nan")] * 4


def _found(folders, name, boxes, shape, skipped):
    """The picture of a file in the first folder that has it."""
    paths = [folder / name for folder in folders if (folder / name).is_file()]
    if not paths:
        skipped[name] = _MISSING
        return []
    return picture(str(paths[0]), reader(paths[0]), boxes, shape, skipped)


def open_voc(root: Path, skipped: dict[str, str]) -> dict[str, list[Video]]:
    """Reads the boxes of a VOC folder; arguments and result as of `open_coco`."""
    listed = root / "ImageSets" / "Main" / "val.txt"
    held_out = set()
    if listed.is_file():
        held_out = {line.split()[0] for line in listed.open() if line.strip()}
    found: dict[str, list[Video]] = {"train": [], "val": []}
    for path in sorted((root / "Annotations").glob("**/*.xml")):
        part = "val" if path.stem in held_out else "train"
        try:
            name, shape, boxes = _of_xml(path)
        except (OSError, ValueError, ElementTree.ParseError) as error:
            skipped[str(path)] = f"it holds no boxes as VOC has them ({error})"
            continue
        below = path.parent.relative_to(root / "Annotations")
        folders = [root / "JPEGImages" / below]
        found[part] += _found(folders, name, boxes, shape, skipped)
    return found


def _of_xml(path: Path) -> tuple[str, tuple | None, list]:
    """File name, height and width, boxes."""
    tree = ElementTree.parse(path).getroot()
    name = tree.findtext("filename") or f"{path.stem}.jpg"
    sides = [tree.findtext(f"size/{key}", "") for key in ("height", "width")]
    shape = tuple(map(int, sides)) if all(sides) else None
    return name, shape, list(_boxes(tree))


def _boxes(tree: ElementTree.Element) -> Iterator[list[float]]:
    """Corners are pixels, counted from 1, and belong to the box."""
    for each in tree.iterfind("object/bndbox"):
        left, top, right, low = (
            float(each.findtext(key, "")) for key in ("xmin", "ymin", "xmax", "ymax")
        )
        yield [left - 1, top - 1, right - left + 1, low - top + 1]
