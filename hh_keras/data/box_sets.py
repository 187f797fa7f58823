"""From the name of a set of images with boxes to the images."""

from pathlib import Path

from hh_keras.data.annotations import Found, open_coco, open_voc
from hh_keras.errors import DataError


def open_boxes(spec: str, skipped: dict[str, str]) -> Found:
    """Lists the images of a data set and their boxes; decodes nothing.

    Args:
        spec: a folder as COCO or VOC have it, or "tfds:NAME".
        skipped: gets the images that are missing, place to reason.

    Raises:
        DataError: there is no such set, or it holds no boxes.
    """
    if spec.startswith("tfds:"):
        # tensorflow-datasets takes seconds to import; folders do without.
        from hh_keras.data.recorded_boxes import open_recorded

        return open_recorded(spec, skipped)
    root = Path(spec).expanduser()
    if any(root.glob("annotations/*.json")):
        return open_coco(root, skipped)
    if (root / "Annotations").is_dir():
        return open_voc(root, skipped)
    raise DataError(
        f"data set '{spec}' holds no boxes: give a folder with annotations/*.json as "
        "COCO has them, one with Annotations/*.xml and JPEGImages/ as VOC has them, "
        "tfds:NAME, or embedded."
    )
