"""Writing the files that are deployed, and proof that they say what the model says."""

import dataclasses

import numpy as np

from hh_keras import export as exporting
from hh_keras.errors import HHError
from hh_keras.tasks.classification.evaluation import outputs_and_labels, score_outputs

TOLERANCE = 1e-4  # of an exact file's outputs, as a share of their spread
EXACT = ("saved_model", "float32")  # these say what Keras says; the others round


def paths(folder, name, formats):
    """Format to the path of the exported file, for the formats asked for."""
    return {kind: _path(folder, name, kind) for kind in formats}


def _path(folder, name, kind):
    if kind == "saved_model":
        # TF Serving wants versions of a model, in folders that are numbers.
        return folder / "saved_model" / name / "1"
    return folder / (f"{name}.tflite" if kind == "float32" else f"{name}.{kind}.tflite")


def view(args):
    """How the flags bring an image file to the model's shape: resize or center."""
    if "view" in args and args.view:
        return args.view
    imagenet = "augment" in args and args.augment == "imagenet"
    return "center" if imagenet else "resize"


def write(
    model, path, kind, image_shape, labels, view="resize", encoded="auto", **settings
):
    """Writes one file.

    Args:
        model: what to export; for "qat" a `hh_keras.export.QuantizationAware`.
        path: where it goes.
        kind: one of `launch.flags.FORMATS`.
        image_shape: `(height, width, channels)`.
        labels: class names; None where the model has other outputs.
        view: how image files come to the model's shape.
        encoded: of `hh_keras.export.saved_model`.
        **settings: of `hh_keras.export.tflite`; those that the kind does not take are
            left out.
    """
    if kind == "saved_model":
        exporting.saved_model(
            model,
            path.parents[1],
            path.parent.name,
            version=int(path.name),
            labels=labels,
            view=view,
            image_shape=image_shape,
            encoded=encoded,
        )
        return
    if kind not in ("int8", "qat"):
        settings = {**settings, "representative": None, "integer_io": False}
    quantize = "int8" if kind == "qat" else kind
    exporting.tflite(model, path, image_shape, quantize, labels=labels, **settings)


def labels_of(model, class_names):
    """The class names if the model has one output for each, otherwise None."""
    shapes = [tuple(tensor.shape[1:]) for tensor in model.outputs]
    return class_names if shapes == [(len(class_names),)] else None


def write_exact(model, folder, name, images, class_names, view, encoded="auto"):
    """Writes files that must say what the model says, and checks that they do.

    Args:
        model: what to export.
        folder: the work directory.
        name: of the model in the file names.
        images: what the check runs on, float32 `(n, h, w, c)`.
        class_names: of the data.
        view: how image files come to the model's shape.
        encoded: of `hh_keras.export.saved_model`.

    Returns:
        Format to the fields of a `hh_keras.export.Parity`, a dict.

    Raises:
        HHError: an exported file computes something else than the model.
    """
    found = {}
    for kind, path in paths(folder, name, EXACT).items():
        labels = labels_of(model, class_names)
        write(model, path, kind, images.shape[1:], labels, view, encoded)
        parity = exporting.parity(model, path, images)
        found[kind] = dataclasses.asdict(parity)
        problem = inexact(path, found[kind])
        if problem:
            raise HHError(problem)
    return found


def inexact(path, found):
    """What is wrong with a file that should be exact; None if nothing is."""
    if found["max_abs"] <= TOLERANCE * max(found["spread"], 1e-12):
        return None
    return (
        f"{path} differs from the Keras model by up to {found['max_abs']:.3g} on "
        f"{found['examples']} images, more than {TOLERANCE:g} of the outputs' spread "
        f"({found['spread']:.3g}); do not deploy this file."
    )


def parity_line(parity):
    """One line on how far an exported file is from its model."""
    return (
        f"largest difference {parity['max_abs']:.2g} "
        f"(outputs spread over {parity['spread']:.3g})"
    )


def file_size(path):
    """Bytes of a file, or of all files of a folder."""
    parts = path.rglob("*") if path.is_dir() else [path]
    return sum(part.stat().st_size for part in parts if part.is_file())


def compare(path, expected, dataset, images):
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
        "bytes": file_size(path),
        **dataclasses.asdict(exporting.agreement(expected["outputs"], found)),
        "accuracy": accuracy,
        "drop": drop,
    }


def expectation(model, dataset, images, logits):
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


def run_over(model, dataset, from_logits=None):
    """Runs a model or an exported file over batches.

    Returns:
        `(outputs, labels)` as of `hh_keras.training.evaluation.outputs_and_labels`.
    """
    run = exporting.open_model(model)
    return outputs_and_labels(
        lambda images: exporting.predict(run, images), dataset, from_logits
    )
