"""Exported networks that restore images: how files are made, and what they score."""

import functools
import pathlib
from collections.abc import Mapping

import keras
import numpy as np
from absl.flags import FlagValues

from hh_keras import export as exporting
from hh_keras.data import ImageData
from hh_keras.errors import ModelError
from hh_keras.export import formats
from hh_keras.tasks import tiles
from hh_keras.tasks.application import FileChecks, FileWords
from hh_keras.tasks.restoration import fidelity
from hh_keras.tasks.restoration.tiles import runner
from hh_keras.training import Task

WORDS = FileWords(
    about="`PSNR`: of the restored validation images, `change`: of it. `to Keras`: "
    "PSNR of the file's pixels against Keras's, on tiles. `largest` and `mean`: "
    "difference of any pixel to Keras's.",
    likeness="to Keras",
    write_likeness=lambda row: f"{row['psnr_to_keras']:.1f} dB",
    line=lambda row: (
        f"PSNR {row['psnr']:.2f} dB, {row['psnr_to_keras']:.1f} dB to Keras"
    ),
    lost=lambda network, row: (
        f"restores to {row['psnr']:.2f} dB, the Keras model to {network['psnr']:.2f} "
        f"dB: it loses {row['drop']:.2f} dB"
    ),
)


def file_checks(
    task: Task, network: keras.Model, data: ImageData, args: FlagValues
) -> FileChecks:
    """How the files of one network are made and checked: they are given tiles."""
    side = tiles.side(network, args.tile)
    images = tiles.cut(data.validation, side, args.check_images)
    settings = {
        "labels": None,
        "encoded": task.encoded,
        "representative": tiles.patched(data.search, side, args.representative_images),
        "integer_io": args.integer_io,
        "batch": args.tflite_batch,
    }

    def make(kind, path, expected):
        if kind == "qat":
            raise ModelError(
                "training for int8 is for classifiers; int8 without it is measured "
                "above."
            )
        formats.write(network, path, kind, images.shape[1:], **settings)
        row = compare(task, network, path, expected, data, images)
        return {"bytes": formats.file_size(path), **row}

    expected = functools.partial(expectation, task, network, data, images)
    return FileChecks(expected, make)


def expectation(
    task: Task, model: keras.Model, data: ImageData, images: np.ndarray
) -> dict:
    """What files are compared with: the model's tiles, and its score.

    Args:
        task: the task.
        model: the Keras model.
        data: `hh_keras.data.ImageData` of pairs.
        images: tiles, see `tiles.cut`.

    Returns:
        Dict of outputs (a list of arrays) and psnr (dB, on the validation images).
    """
    outputs = [exporting.predict(model, images, 4)]
    return {
        "outputs": outputs,
        "psnr": task.evaluate(model, data.validation)["psnr"],
    }


def compare(
    task: Task,
    model: keras.Model,
    path: pathlib.Path,
    expected: Mapping,
    data: ImageData,
    images: np.ndarray,
) -> dict:
    """Runs a file and compares it with the model it came from.

    Args:
        path: the file.
        expected: see `expectation`.
        task, model, data, images: as there.

    Returns:
        Dict of the fields of a `hh_keras.export.Parity`, psnr_to_keras (dB, on the
        tiles; 100 for equal ones), psnr (on the validation images) and drop (dB).
    """
    found = exporting.predict(path, images, 4)
    score = task.evaluate(runner(path, model), data.validation)["psnr"]
    return {
        **vars(exporting.agreement(expected["outputs"], [found])),
        "psnr_to_keras": likeness(expected["outputs"][0], found),
        "psnr": score,
        "drop": expected["psnr"] - score,
    }


def likeness(wanted: np.ndarray, found: np.ndarray) -> float:
    """PSNR in dB of a file's pixels against the model's, at most 100."""
    return min(100.0, fidelity.psnr(wanted, found))
