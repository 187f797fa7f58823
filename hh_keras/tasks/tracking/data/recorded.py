"""Detection sets in the on-disk format of tensorflow-datasets.

Those with a feature `image` and a sequence of objects that have a `bbox`, such as coco
and voc. All records are read once for their boxes.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from hh_keras.data import prepared
from hh_keras.data.decoding import native_shape
from hh_keras.data.records import encoded_image
from hh_keras.errors import DataError
from hh_keras.tasks.tracking.data.pictures import decoded, picture
from hh_keras.tasks.tracking.data.sequence import Video

_IMAGE = "image"


def open_recorded(spec: str, skipped: dict[str, str]) -> dict[str, list[Video]]:
    """Reads the boxes of a detection set.

    Args:
        spec: see `hh_keras.data.prepared.prepared_builder`.
        skipped: gets records and boxes that are of no use, place to reason.

    Returns:
        Part → its pictures.

    Raises:
        DataError: no such set, or not one of boxes.
    """
    info = prepared.prepared_builder(spec).info
    key = _feature(spec, info)
    found: dict[str, list[Video]] = {}
    for part in ("train", "validation"):
        if part in info.splits:
            name = part[:3] if part == "validation" else part
            records = prepared.records_of(spec, info, part)
            found[name] = [
                each
                for place, read in records
                for each in _picture(place, read, key, skipped)
            ]
    return found


def _feature(spec, info):
    """Where the boxes are, such as objects/bbox."""
    features = info.features
    for name, each in features.items():
        inner = getattr(each, "feature", None)
        for key, feature in dict(inner.items() if _is_dict(inner) else {}).items():
            if isinstance(feature, tfds.features.BBoxFeature) and _IMAGE in features:
                return f"{name}/{key}"
    raise DataError(
        f"data set '{spec}' has no images with boxes: a feature '{_IMAGE}', and a "
        f"sequence of objects with a BBoxFeature (it has {', '.join(features)})."
    )


def _is_dict(feature: Any) -> bool:
    return isinstance(feature, tfds.features.FeaturesDict)


def _picture(place, read, key, skipped):
    try:
        height, width, _ = native_shape(encoded_image(read, _IMAGE))
    except (OSError, ValueError) as error:
        skipped[place] = str(error)
        return []
    # ymin, xmin, ymax, xmax as shares of the image
    corners = np.array(read().features.feature[key].float_list.value).reshape(-1, 4)
    top, left, low, right = (corners * ([height, width] * 2)).T
    boxes = np.stack([left, top, right - left, low - top], -1)
    shape = height, width
    return picture(place, functools.partial(_decoded, read), boxes, shape, skipped)


def _decoded(read):
    return decoded(encoded_image(read, _IMAGE))
