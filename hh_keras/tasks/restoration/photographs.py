"""Photographs without labels: folders, tensorflow-datasets, the package's own."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path

from hh_keras.data.embedded import PHOTOGRAPHS
from hh_keras.data.folders import HELD_OUT, images_below, read_file
from hh_keras.data.records import encoded_image
from hh_keras.errors import DataError

_OF_EMBEDDED = {
    "source": "Debian's lomiri-wallpapers-16.04, made smaller (PROVENANCE.md)",
    "licence": "CC BY 4.0 and CC0 1.0",
}
_HELD_OUT_SHARE = 10  # of a folder without parts, every tenth image is held out


@dataclasses.dataclass(frozen=True)
class Photograph:
    """One image that has not been read yet.

    Attributes:
        place: names it in messages.
        read: returns the bytes of the image file; may raise OSError.
        read_small: the same for a smaller version that belongs to it, if there is one.
    """

    place: str
    read: Callable[[], bytes]
    read_small: Callable[[], bytes] | None = None


@dataclasses.dataclass(frozen=True)
class Photographs:
    """A set of images: what was asked for, both parts, where they come from."""

    name: str
    train: tuple[Photograph, ...]
    validation: tuple[Photograph, ...]
    description: dict[str, str]


def open_photographs(spec: str | Path, hold_out: bool = True) -> Photographs:
    """Lists a set of images; decodes nothing.

    Args:
        spec: "embedded"; "tfds:NAME", any prepared set of tensorflow-datasets with a
            feature `image`, or `hr` and `lr` as div2k has them; or the path of a
            folder of image files, with `train/` and `val/` (or `validation/`, or
            `test/`), or without: then every tenth image is held out.
        hold_out: False takes all images of such a folder for both parts, to measure on.

    Returns:
        `Photographs`, in the order of their names or as they are stored.

    Raises:
        DataError: there is no such set, or it cannot be used.
    """
    spec = os.fspath(spec)
    if spec == "embedded":
        found = _open_folder(spec, PHOTOGRAPHS)
        return dataclasses.replace(
            found, description={**found.description, **_OF_EMBEDDED}
        )
    if spec.startswith("tfds:"):
        return _open_tfds(spec)
    root = Path(spec).expanduser()
    if not root.is_dir():
        kind = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"data set '{spec}' {kind}: give the path of a folder of images, or "
            "'embedded', or 'tfds:NAME'."
        )
    return _open_folder(spec, root, hold_out)


def _open_folder(spec, root, hold_out=True):
    held_out = next((root / name for name in HELD_OUT if (root / name).is_dir()), None)
    if (root / "train").is_dir():
        if held_out is None:
            raise DataError(
                f"image folder '{root}' has train/, but no val/ (nor validation/ nor "
                "test/): put images that are not trained on into val/."
            )
        train, validation = (_listed(part) for part in (root / "train", held_out))
        how = held_out.name
    elif not hold_out:
        train = validation = _listed(root)
        how = "the same"
    else:
        every = _listed(root)
        validation = every[::_HELD_OUT_SHARE]
        train = tuple(x for k, x in enumerate(every) if k % _HELD_OUT_SHARE)
        how = "every tenth image"
        if not train:
            raise DataError(
                f"image folder '{root}' holds one image only; it needs one to learn "
                "from and one to measure on."
            )
    text = f"image folder: {len(train)} training and {len(validation)} validation"
    description = {"source": str(root), "text": f"{text} images ({how})"}
    return Photographs(spec, train, validation, description)


def _listed(folder):
    paths = images_below(folder)
    if not paths:
        raise DataError(f"'{folder}' holds no image files: put some into it.")
    return tuple(
        Photograph(path.decode(errors="replace"), functools.partial(read_file, path))
        for path in paths
    )


def _open_tfds(spec):
    # tensorflow-datasets takes seconds to import; image folders do without.
    from hh_keras.data import prepared

    builder = prepared.prepared_builder(spec)
    info = builder.info
    clean, small = _features(spec, info)
    train, validation = (
        tuple(_recorded(prepared.records_of(spec, info, part), clean, small))
        for part in prepared.parts(spec, info)
    )
    text = (info.description or "").strip()
    description = {"source": info.homepage or str(builder.data_dir), "text": text}
    return Photographs(spec, train, validation, description)


def _features(spec, info):
    """Names of the features with the images, and with their small versions or None."""
    import tensorflow_datasets as tfds

    images = [k for k, f in info.features.items() if isinstance(f, tfds.features.Image)]
    if "hr" in images:
        return "hr", "lr" if "lr" in images else None
    if "image" in images:
        return "image", None
    raise DataError(
        f"data set '{spec}' has no feature 'image' or 'hr' that is an image (it has "
        f"{', '.join(info.features)}): choose a set of images."
    )


def _recorded(records, clean, small):
    """The images of records."""
    for place, read in records:
        yield Photograph(
            place,
            functools.partial(encoded_image, read, clean),
            small and functools.partial(encoded_image, read, small),
        )
