"""Exported classifiers: how files are made, and proof that they say what Keras says."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from absl.flags import FlagValues

from hh_keras import export as exporting
from hh_keras.data import ImageData, first_images
from hh_keras.errors import DataError, ModelError
from hh_keras.export import formats
from hh_keras.graph.heads import from_logits
from hh_keras.tasks.application import FileChecks, FileWords
from hh_keras.tasks.classification.data import view
from hh_keras.tasks.classification.evaluation import outputs_and_labels, score_outputs
from hh_keras.tasks.classification.quantization import quantization_aware
from hh_keras.tasks.classification.task import check_head
from hh_keras.training import Recipe

WORDS = FileWords(
    about="`change`: of accuracy, in percentage points. `same class`: how often file "
    "and Keras name the same class. `largest` and `mean`: difference of any output to "
    "Keras's.",
    likeness="same class",
    write_likeness=lambda row: f"{row['top1_agreement']:.2%}",
    line=lambda row: (
        ("" if row["accuracy"] is None else f"accuracy {row['accuracy']:.2%}, ")
        + f"same class {row['top1_agreement']:.2%}"
    ),
    lost=lambda network, row: (
        f"classifies {row['accuracy']:.2%} right, the Keras model "
        f"{network['accuracy']:.2%}: it loses {row['drop']:.4g}"
    ),
)


def file_checks(network: keras.Model, data: ImageData, args: FlagValues) -> FileChecks:
    """How the files of one classifier are made and checked."""
    images = first_images(data.validation, args.check_images)
    settings = {
        "labels": formats.labels_of(network, data.class_names),
        "view": view(args),
        "representative": first_images(data.search, args.representative_images),
        "integer_io": args.integer_io,
        "batch": args.tflite_batch,
    }

    def make(kind, path, expected):
        learnt = _learnt(network, data, args) if kind == "qat" else None
        formats.write(
            network if learnt is None else learnt,
            path,
            kind,
            data.image_shape,
            **settings,
        )
        found = compare(path, expected, data.validation, images)
        return (
            found if learnt is None else {**found, **_simulated(learnt, path, images)}
        )

    return FileChecks(functools.partial(_expected, network, data, images), make)


def _expected(network, data, images):
    try:
        check_head(network, len(data.class_names))
        logits = from_logits(network)
    except (DataError, ModelError):
        logits = None
    return expectation(network, data.validation, images, logits)


def _simulated(learnt, path, images):
    """How training for int8 went, and whether its file computes what it did."""
    simulated, said = (exporting.predict(m, images) for m in (learnt.model, path))
    like = exporting.agreement([simulated], [said])
    return {
        "history": learnt.history,
        "simulated": {
            "relative": like.relative,
            "top1_agreement": like.top1_agreement,
            "examples": like.examples,
        },
    }


def _learnt(network, data, args):
    """The network trained for int8."""
    check_head(network, len(data.class_names))
    recipe = Recipe(
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        momentum=args.momentum,
        label_smoothing=args.label_smoothing,
    )

    def tell(row):
        print(
            f"  qat: epoch {row['epoch']}/{args.qat_epochs}  loss {row['loss']:.4f}  "
            f"accuracy {row['accuracy']:.4f}  {row['seconds']:.0f} s",
            flush=True,
        )

    keras.utils.set_random_seed(args.seed)
    return quantization_aware(
        network,
        data,
        recipe,
        epochs=args.qat_epochs,
        learning_rate=args.qat_learning_rate,
        calibration_images=args.representative_images,
        tell=tell,
    )


def compare(
    path: pathlib.Path, expected: Mapping, dataset: Any, images: np.ndarray
) -> dict:
    """Runs a file and compares it with the model it came from.

    Args:
        path: the file.
        expected: the model's `outputs`, `accuracy` and `logits`, a dict; accuracy is
            None for a model that is no classifier of the data.
        dataset: validation batches, which a classifier is run on.
        images: what others are run on.

    Returns:
        Dict of the fields of a `hh_keras.export.Parity`, bytes, and accuracy and drop
        (both None for other models): JSON values.
    """
    if expected["accuracy"] is None:
        found, accuracy, drop = _listed(exporting.predict(path, images)), None, None
    else:
        found, labels = run_over(path, dataset, expected["logits"])
        accuracy = score_outputs(found, labels, expected["logits"])["accuracy"]
        found, drop = [np.asarray(found)], expected["accuracy"] - accuracy
    return {
        "bytes": formats.file_size(path),
        **dataclasses.asdict(exporting.agreement(expected["outputs"], found)),
        "accuracy": accuracy,
        "drop": drop,
    }


def expectation(
    model: keras.Model, dataset: Any, images: np.ndarray, logits: bool | None
) -> dict:
    """What `compare` compares with.

    Args:
        model: the Keras model.
        dataset, images: as for `compare`.
        logits: whether it ends in logits; None if it is no classifier of the data.
    """
    if logits is None:
        outputs = _listed(exporting.predict(model, images))
        return {"outputs": outputs, "accuracy": None, "logits": None}
    outputs, labels = run_over(model, dataset, logits)
    accuracy = score_outputs(outputs, labels, logits)["accuracy"]
    return {"outputs": [np.asarray(outputs)], "accuracy": accuracy, "logits": logits}


def _listed(outputs):
    return outputs if isinstance(outputs, list) else [outputs]


def run_over(
    model: Any, dataset: Any, logits: bool | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Runs a model or an exported file over batches.

    Returns:
        `(outputs, labels)`, see `outputs_and_labels`.
    """
    run = exporting.open_model(model)
    return outputs_and_labels(
        lambda images: exporting.predict(run, images), dataset, logits
    )
