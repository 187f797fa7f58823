"""Writing the files that are deployed, and proof that they say what the model says."""

import dataclasses

from hh_keras import export as exporting
from hh_keras.errors import HHError
from hh_keras.training.evaluation import outputs_and_labels
from launch.flags import FORMATS

TOLERANCE = 1e-4  # of an exported file, as a share of the outputs' spread


def paths(folder, name, formats=FORMATS):
    """Format to the path of the exported file, for the formats asked for."""
    found = {
        # TF Serving wants versions of a model, in folders that are numbers.
        "saved_model": folder / "saved_model" / name / "1",
        "tflite": folder / f"{name}.tflite",
    }
    return {kind: found[kind] for kind in formats}


def view(args):
    """How the flags bring an image file to the model's shape: resize or center."""
    if "view" in args and args.view:
        return args.view
    imagenet = "augment" in args and args.augment == "imagenet"
    return "center" if imagenet else "resize"


def write(model, folder, name, images, labels, view="resize", formats=FORMATS):
    """Writes exported files and checks each against the Keras model.

    Args:
        model: what to export.
        folder: the work directory.
        name: of the model in the file names.
        images: what the check runs on, float32 `(n, h, w, c)`.
        labels: class names; left out where the model has other outputs.
        view: how image files come to the model's shape.
        formats: some of `launch.flags.FORMATS`.

    Returns:
        Format to the fields of a `hh_keras.export.Parity`, a dict.

    Raises:
        HHError: an exported file computes something else than the model.
    """
    found = {}
    for kind, path in paths(folder, name, formats).items():
        if kind == "tflite":
            exporting.tflite(model, path, images.shape[1:])
        else:
            saved_model(model, path, images.shape[1:], labels, view)
        parity = exporting.parity(model, path, images)
        found[kind] = dataclasses.asdict(parity)
        if not parity.max_abs <= TOLERANCE * max(parity.spread, 1e-12):
            raise HHError(
                f"{path} differs from the Keras model by up to {parity.max_abs:.3g} "
                f"on {len(images)} images, more than {TOLERANCE:g} of the outputs' "
                f"spread ({parity.spread:.3g}); do not deploy this file."
            )
    return found


def saved_model(model, path, image_shape, labels, view):
    """Writes `path`, a version of a model, with class names if they are the model's."""
    classes = [tuple(tensor.shape[1:]) for tensor in model.outputs] == [(len(labels),)]
    exporting.saved_model(
        model,
        path.parents[1],
        path.parent.name,
        version=int(path.name),
        labels=labels if classes else None,
        view=view,
        image_shape=image_shape,
    )


def parity_line(parity):
    """One line on how far an exported file is from its model."""
    return (
        f"largest difference {parity['max_abs']:.2g} "
        f"(outputs spread over {parity['spread']:.3g})"
    )


def run_over(model, dataset, from_logits=None):
    """Runs a model or an exported file over batches.

    Returns:
        `(outputs, labels)` as of `hh_keras.training.evaluation.outputs_and_labels`.
    """
    run = exporting.open_model(model)
    return outputs_and_labels(
        lambda images: exporting.predict(run, images), dataset, from_logits
    )
