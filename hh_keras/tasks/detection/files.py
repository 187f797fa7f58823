"""Exported detectors: how files are made, and what they score."""

import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl.flags import FlagValues

from hh_keras import export as exporting
from hh_keras.data import ImageData, first_images
from hh_keras.errors import DataError, ModelError
from hh_keras.export import About, formats
from hh_keras.export.sidecar import WHOLE
from hh_keras.tasks.application import FileChecks, FileWords
from hh_keras.tasks.detection.evaluation import average_precision, detect
from hh_keras.tasks.detection.signature import with_detections
from hh_keras.training import Task

BOXES = "_boxes"
"""What the name of the `.tflite` file that also sorts the boxes out ends in."""

WORDS = FileWords(
    about="`AP50`: of the file on the validation images, `change`: of it. `alike`: "
    "largest difference of an output to Keras's, as a share of the outputs' spread. "
    "`largest` and `mean`: difference of any output to Keras's. Each .tflite file that "
    f"is not of integers has another beside it, NAME{BOXES}, that also sorts the boxes "
    "out: boxes, classes, scores.",
    likeness="alike",
    write_likeness=lambda row: f"{row['relative']:.2g}",
    line=lambda row: f"AP50 {row['ap50']:.3f}, alike to {row['relative']:.2g}",
    lost=lambda network, row: (
        f"detects with an AP50 of {row['ap50']:.3f}, the Keras model with "
        f"{network['ap50']:.3f}: it loses {row['drop']:.3f}"
    ),
)


def about(model: keras.Model, data: ImageData) -> About:
    """What the `.json` beside a `.tflite` file says."""
    images = {model.inputs[0].name: WHOLE}
    return About(images, {"classes": list(data.class_names)})


def file_checks(
    task: Task, network: keras.Model, data: ImageData, args: FlagValues
) -> FileChecks:
    """How the files of one detector are made and checked."""
    images = first_images(data.validation, args.check_images)
    settings = {
        "representative": first_images(data.search, args.representative_images),
        "integer_io": args.integer_io,
        "batch": args.tflite_batch,
        "about": about(network, data),
    }
    encoded = formats.named(task.encoded, data.class_names)

    def expected() -> dict:
        outputs = [exporting.predict(network, images)]
        score = task.evaluate(network, data.validation)["ap50"]
        return {"outputs": outputs, "ap50": score}

    def make(kind: str, path: pathlib.Path, expected: dict) -> dict:
        if kind == "qat":
            raise ModelError(
                "training for int8 is for classifiers; int8 without it is measured "
                "above."
            )
        shape = images.shape[1:]
        formats.write(network, path, kind, shape, None, encoded=encoded, **settings)
        if kind in ("float32", "float16", "dynamic"):
            beside = path.with_name(path.name.replace(".", f"{BOXES}.", 1))
            formats.write(
                with_detections(network), beside, kind, shape, None, **settings
            )
        found = [exporting.predict(path, images)]
        score = file_scores(path, data)["ap50"]
        return {
            "bytes": formats.file_size(path),
            **vars(exporting.agreement(expected["outputs"], found)),
            "ap50": score,
            "drop": expected["ap50"] - score,
        }

    return FileChecks(expected, make)


def file_scores(path: pathlib.Path | str, data: ImageData) -> dict:
    """What a file of any kind scores on the validation images.

    Args:
        path: `.keras` file, SavedModel or `.tflite` file that puts out what a detector
            does.
        data: see `hh_keras.tasks.detection.images`.

    Returns:
        See `hh_keras.tasks.detection.evaluation.average_precision`.

    Raises:
        DataError: it knows more or fewer classes than the data have.
        ModelError: see `runner`.
    """
    run = runner(path)
    rows, found, classes = detect(run, data.image_shape[:2], data.validation)
    names = data.class_names
    if classes != len(names):
        raise DataError(
            f"{path} knows {classes} classes, but --dataset={data.name} has "
            f"{len(names)} ({', '.join(names[:20])}): choose the data set that it was "
            "trained on."
        )
    return average_precision(rows, found, classes)


def runner(path: pathlib.Path | str) -> Callable:
    """A file as a function of images, float32 `(n, h, w, 3)`, to its one output.

    Raises:
        ModelError: it cannot be loaded; or, when it is run, it is no detector's.
    """
    opened = exporting.open_model(path)

    def run(images):
        output = exporting.predict(opened, np.asarray(images))
        if isinstance(output, list) or output.ndim != 3:
            raise ModelError(
                f"{path} does not put out (places, 4 + classes) alone, as a detector "
                f"does; of a file NAME{BOXES}.tflite, give NAME.tflite beside it."
            )
        return tf.constant(output)

    return run
