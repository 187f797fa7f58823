"""Images with boxes in the on-disk format of tensorflow-datasets.

Sets with a feature `image` and a sequence of objects that have a `bbox`, and a `label`
if there are several kinds, such as coco and wider_face. All records are read once for
their boxes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from hh_keras.data import prepared
from hh_keras.data.annotations import Annotated, Found
from hh_keras.data.decoding import native_shape
from hh_keras.data.records import encoded_image
from hh_keras.errors import DataError

_PARTS = {"train": "train", "validation": "val", "test": "test"}
_CROWDS = ("is_crowd", "is_difficult")


def open_recorded(spec: str, skipped: dict[str, str]) -> Found:
    """Reads the boxes of a detection set.

    Args:
        spec: see `hh_keras.data.prepared.prepared_builder`.
        skipped: gets records whose image cannot be read, place to reason.

    Raises:
        DataError: no such set, or not one of boxes.
    """
    info = prepared.prepared_builder(spec).info
    name, objects = _objects(spec, info)
    found: Found = {}
    for theirs, ours in _PARTS.items():
        if theirs in info.splits:
            records = prepared.records_of(spec, info, theirs)
            every = (_image(*each, name, objects, skipped) for each in records)
            found[ours] = [image for image in every if image]
    return found


def _objects(spec: str, info: Any) -> tuple[str, dict[str, Any]]:
    """The feature with the boxes, its name and its parts."""
    for name, each in info.features.items():
        inner = getattr(each, "feature", None)
        if not isinstance(inner, tfds.features.FeaturesDict):
            continue
        parts = dict(inner.items())
        boxes = isinstance(parts.get("bbox"), tfds.features.BBoxFeature)
        if boxes and "image" in info.features:
            return name, parts
    raise DataError(
        f"data set '{spec}' has no images with boxes: a feature 'image', and a "
        f"sequence of objects with a 'bbox' (it has "
        f"{', '.join(info.features)})."
    )


def _image(
    place: str, read: Callable, name: str, objects: dict, skipped: dict[str, str]
) -> Annotated | None:
    content = functools.partial(encoded_image, read, "image")
    try:
        height, width, _ = native_shape(content())
    except (OSError, ValueError) as error:
        skipped[place] = str(error)
        return None
    values = read().features.feature
    # ymin, xmin, ymax, xmax as shares of the image
    shares = np.array(values[f"{name}/bbox"].float_list.value).reshape(-1, 4)
    corners = shares[:, [1, 0, 3, 2]] * ([width, height] * 2)
    crowd = np.zeros(len(corners), bool)
    for key in _CROWDS:
        if key in objects:
            crowd |= np.array(values[f"{name}/{key}"].int64_list.value, bool)
    if isinstance(objects.get("label"), tfds.features.ClassLabel):
        labels = values[f"{name}/label"].int64_list.value
        names = tuple(objects["label"].int2str(int(k)) for k in labels)
    else:  # all are of one kind, such as "faces"
        names = (name,) * len(corners)
    return Annotated(place, content, corners, names, crowd, (height, width))
