"""Exported trackers: how the two files are made, and what they score."""

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from absl.flags import FlagValues

from hh_keras import export as exporting
from hh_keras.data import ImageData
from hh_keras.errors import ModelError
from hh_keras.export import formats
from hh_keras.tasks.application import FileChecks, FileWords
from hh_keras.tasks.tracking.following.about import PARTS, about, files_of
from hh_keras.tasks.tracking.following.running import of_model
from hh_keras.tasks.tracking.following.tracker import Tracker
from hh_keras.tasks.tracking.measuring import measures
from hh_keras.tasks.tracking.measuring.evaluation import one_pass
from hh_keras.tasks.tracking.networks.halves import Halves, float_layers, halves
from hh_keras.tasks.tracking.opening import open_tracker
from hh_keras.training import Task

WORDS = FileWords(
    about="`AUC`: in one pass over the validation videos, `change`: of it. `alike`: "
    "largest difference of an answer to Keras's on pairs, as a share of the answers' "
    "spread, each part with Keras's in the place of the other. `largest` and `mean`: "
    f"difference of any answer. Each row is two files, NAME{PARTS[0]} and "
    f"NAME{PARTS[1]}.",
    likeness="alike",
    write_likeness=lambda row: f"{row['relative']:.2g}",
    line=lambda row: (
        f"{row['examples']} pairs"
        if row["auc"] is None
        else f"AUC {row['auc']:.3f}, {row['examples']} pairs"
    ),
    lost=lambda network, row: (
        f"follows with an AUC of {row['auc']:.3f}, the Keras model with "
        f"{network['auc']:.3f}: it loses {row['drop']:.3f}"
    ),
)


def file_checks(
    task: Task,
    videos: Callable,
    network: keras.Model,
    data: ImageData,
    args: FlagValues,
) -> FileChecks:
    """How the files of one tracker are made and checked: on pairs, and on videos."""
    parts = halves(network)
    (exemplars, searches), _ = first_pairs(data.validation, args.check_images)
    learnt_from = first_pairs(data.search, args.representative_images)[0]

    answers = answers_by(parts, searches)

    def expected() -> dict:
        kernel = outputs_of(parts.exemplar, [exemplars])
        auc = _auc(of_model(network), videos())
        return {"outputs": 2 * answers(kernel), "kernel": kernel, "auc": auc}

    def make(kind: str, path: pathlib.Path, expected: dict) -> dict:
        if kind == "qat":
            raise ModelError(
                "training for int8 is for classifiers; int8 without it is measured "
                "above."
            )
        kernel, files = expected["kernel"], files_of(path)
        own = outputs_of(parts.exemplar, [learnt_from[0]])
        examples = [learnt_from[0]], [learnt_from[1], *own]
        abouts = about(network).values()
        both = (parts.exemplar, parts.search)
        for half, file, inputs, told in zip(both, files, examples, abouts):
            formats.write(
                half,
                file,
                kind,
                inputs[0].shape[1:],
                None,
                encoded=None,
                representative=inputs if len(inputs) > 1 else inputs[0],
                integer_io=args.integer_io,
                # Integers outside leave no place for floats inside.
                floats=() if args.integer_io else float_layers(half),
                batch=args.tflite_batch,
                about=told,
            )
        # Each part answers for itself, with Keras's in the place of the other.
        found = answers(outputs_of(files[0], [exemplars]))
        found += outputs_of(files[1], [searches, *kernel])
        auc = _auc(open_tracker(path), videos())
        return {
            "bytes": sum(map(formats.file_size, files)),
            **vars(exporting.agreement(expected["outputs"], found)),
            "auc": auc,
            "drop": None if auc is None else expected["auc"] - auc,
        }

    return FileChecks(expected, make)


def first_pairs(batches: Any, count: int) -> tuple:
    """The first pairs of a dataset: `((exemplars, searches), boxes)`, NumPy arrays."""
    rows: list = []
    for (exemplars, searches), boxes in batches.as_numpy_iterator():
        rows += zip(exemplars, searches, boxes)
        if len(rows) >= count:
            break
    exemplars, searches, boxes = map(np.stack, zip(*rows[:count]))
    return (exemplars, searches), boxes


def answers_by(parts: Halves, searches: np.ndarray) -> Callable:
    """What a kernel is compared by: the answers it leads to.

    Numbers in it to which no search image responds may be rounded far off: filters
    divide by energies that can be nearly 0.

    Returns:
        A function of a kernel, a list of arrays, that gives a list of outputs.
    """
    return lambda kernel: outputs_of(parts.search, [searches, *kernel])


def outputs_of(model: Any, inputs: list) -> list[np.ndarray]:
    """All outputs of a model or a file, a list."""
    found = exporting.predict(model, inputs)
    return found if isinstance(found, list) else [found]


def _auc(tracker: Tracker, videos: Any) -> float | None:
    if not videos:
        return None
    each, _ = one_pass(tracker, videos)
    return measures.mean(list(each.values())).auc
