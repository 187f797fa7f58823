"""Image folders: `train/<class>/*.jpg` and `val/<class>/*.jpg`."""

from __future__ import annotations

import os
import pathlib

import tensorflow as tf

from hh_keras.data.decoding import EXTENSIONS
from hh_keras.data.source import Source, Split, first_shape
from hh_keras.errors import DataError

HELD_OUT = ("val", "validation", "test")
"""Names of the folder to measure on; the first that exists is taken."""


def open_folder(path: str) -> Source:
    """Lists an image folder; only the first is opened.

    Classes are the folders inside `train/`, sorted by name; folders inside them are
    searched too. Hidden files and names that are not of an image are passed over.

    Args:
        path: a folder with `train/` and one of `HELD_OUT`.

    Returns:
        A `Source`; examples are stored by class, then by file name.

    Raises:
        DataError: no such folder, no train or held-out folder, an empty class
            folder, classes that differ, or no image that can be read.
    """
    root = pathlib.Path(path).expanduser()
    train, held_out = _parts(root)
    names = _class_names(train)
    _check_same_classes(train, names, held_out, _class_names(held_out))
    splits = [_split(part, names) for part in (train, held_out)]
    return Source(
        name=path,
        class_names=names,
        image_shape=first_shape(splits[0]),
        train=splits[0],
        validation=splits[1],
        description={
            "source": str(root),
            "text": f"image folder: {splits[0].num} training and {splits[1].num} "
            f"validation images ({held_out.name}) of {len(names)} classes",
        },
    )


def _parts(root: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    if not root.is_dir():
        kind = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"data set '{root}' {kind}: give the path of a folder with train/ and val/."
        )
    held_out = next((root / name for name in HELD_OUT if (root / name).is_dir()), None)
    if not (root / "train").is_dir():
        raise DataError(
            f"image folder '{root}' has no train/: put the training images into "
            "train/<class>/."
        )
    if held_out is None:
        raise DataError(
            f"image folder '{root}' has no val/ (nor validation/ nor test/): put "
            "images that are not trained on into val/<class>/."
        )
    return root / "train", held_out


def _class_names(part: pathlib.Path) -> tuple[str, ...]:
    found = sorted(entry.name for entry in os.scandir(part) if entry.is_dir())
    names = tuple(name for name in found if not name.startswith("."))
    if not names:
        raise DataError(
            f"'{part}' has no class folders: put the images into {part.name}/<class>/."
        )
    return names


def _check_same_classes(train, train_names, held_out, held_out_names):
    for here, names, there, others in (
        (held_out, held_out_names, train, train_names),
        (train, train_names, held_out, held_out_names),
    ):
        lacking = [name for name in others if name not in set(names)]
        if lacking:
            more = f" (and {len(lacking) - 1} more)" if lacking[1:] else ""
            raise DataError(
                f"'{here}' has no class folder '{lacking[0]}'{more}, but '{there}' "
                f"has: add it with images, or remove '{there / lacking[0]}'."
            )


def _split(part: pathlib.Path, names: tuple[str, ...]) -> Split:
    paths, labels = [], []
    for label, name in enumerate(names):
        found = images_below(part / name)
        if not found:
            raise DataError(
                f"class folder '{part / name}' holds no images "
                f"({', '.join(EXTENSIONS)}): add some, or remove the class."
            )
        paths += found
        labels += [label] * len(found)
    with tf.device("CPU:0"):
        paths, labels = tf.constant(paths), tf.constant(labels, tf.int64)

    def records(seed, reshuffle):
        return tf.data.Dataset.from_tensor_slices((paths, paths, labels))

    # A record is no more than a path: all of them can be shuffled.
    return Split(len(labels), records, read_file, len(labels))


def images_below(folder: pathlib.Path) -> list[bytes]:
    """Paths of the image files in a folder and in the folders inside it, sorted."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            os.fsencode(os.path.join(parent, name))
            for name in files
            if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        ]
    return sorted(found)


def read_file(path: bytes) -> bytes:
    """The content of a file; raises OSError."""
    with open(path, "rb") as file:
        return file.read()
