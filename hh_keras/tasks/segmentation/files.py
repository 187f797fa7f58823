"""Exported segmentation networks: how files are made, and what they score."""

import dataclasses
import math
import pathlib

import keras
import numpy as np
from absl.flags import FlagValues

from hh_keras import export as exporting
from hh_keras.data import ImageData
from hh_keras.errors import ModelError
from hh_keras.export import About, formats
from hh_keras.tasks import tiles
from hh_keras.tasks.application import FileChecks, FileWords
from hh_keras.tasks.segmentation.whole import seen_by, size_multiple
from hh_keras.training import Task

WORDS = FileWords(
    about="`mIoU`: on the validation images, a .tflite file's in tiles; `change`: of "
    "it, in percentage points. `same class`: how many pixels of tiles have the same "
    "class as Keras's. `largest` and `mean`: difference of any output to Keras's.",
    likeness="same class",
    write_likeness=lambda row: f"{row['same_class']:.2%}",
    line=lambda row: f"mIoU {row['miou']:.2%}, same class {row['same_class']:.2%}",
    lost=lambda network, row: (
        f"has an mIoU of {row['miou']:.2%}, the Keras model of {network['miou']:.2%}: "
        f"it loses {row['drop']:.4f}"
    ),
)


def side(model: keras.Model, args: FlagValues) -> int:
    """The side of the tiles that a network's `.tflite` files take.

    Raises:
        ModelError: --tile is no multiple of what the network takes.
    """
    multiple = size_multiple(model)
    if args.tile is None:
        return math.ceil(args.patch / multiple) * multiple
    if args.tile % multiple:
        raise ModelError(
            f"--tile={args.tile}: model '{model.name}' takes multiples of {multiple}."
        )
    return args.tile


def about(model: keras.Model, data: ImageData) -> About:
    """What the `.json` beside a `.tflite` file says."""
    seen = dataclasses.asdict(seen_by(model))
    sections = {"classes": list(data.class_names), "tiles": seen}
    return About(images={model.inputs[0].name: ""}, sections=sections)


def file_checks(
    task: Task, network: keras.Model, data: ImageData, args: FlagValues
) -> FileChecks:
    """How the files of one network are made and checked: they are given tiles."""
    size = side(network, args)
    images = tiles.cut(data.validation, size, args.check_images)
    settings = {
        "labels": None,
        "encoded": formats.named(task.encoded, data.class_names),
        "representative": tiles.patched(data.search, size, args.representative_images),
        "integer_io": args.integer_io,
        "batch": args.tflite_batch,
        "about": about(network, data),
    }

    def expected() -> dict:
        outputs = [exporting.predict(network, images, 4)]
        score = task.evaluate(network, data.validation)["miou"]
        return {"outputs": outputs, "miou": score}

    def make(kind: str, path: pathlib.Path, expected: dict) -> dict:
        if kind == "qat":
            raise ModelError(
                "training for int8 is for classifiers; int8 without it is measured "
                "above."
            )
        formats.write(network, path, kind, images.shape[1:], **settings)
        found = exporting.predict(path, images, 4)
        score = task.evaluate(path, data.validation)["miou"]
        (wanted,) = expected["outputs"]
        same = np.mean(wanted.argmax(-1) == found.argmax(-1))
        return {
            "bytes": formats.file_size(path),
            **vars(exporting.agreement([wanted], [found])),
            "same_class": float(same),
            "miou": score,
            "drop": expected["miou"] - score,
        }

    return FileChecks(expected, make)
