"""Writing a SavedModel, as TF Serving takes it."""

import itertools
import json
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from hh_keras import files
from hh_keras.errors import HHError, ModelError, WorkdirError
from hh_keras.export import warm_up as warming
from hh_keras.export.checks import check_built, failed, structure
from hh_keras.export.classify_bytes import classify_bytes
from hh_keras.export.names import layer_names, renamed, safe_names
from hh_keras.export.quiet import quiet
from hh_keras.export.signatures import (
    input_names,
    is_image_classifier,
    output_names,
    serving_default,
    takes_labels,
)

NAMES = "assets.extra/names.json"


def saved_model(
    model: keras.Model,
    root: str | Path,
    name: str | None = None,
    *,
    version: int | None = None,
    labels: Sequence[str] | None = None,
    view: str = "resize",
    image_shape: tuple | None = None,
    encoded: Callable | str | None = "auto",
    warm_up: bool | None = None,
) -> Path:
    """Writes `root/NAME/VERSION`, a SavedModel, all of it or nothing.

    It is made in a hidden folder beside the versions and renamed when complete, so that
    a server watching `root/NAME` never loads half a model.

    Its signatures are `serving_default` (float pixels 0..255 to the model's outputs by
    name) and, of an image classifier, `classify_bytes` (JPEG and PNG files to class
    names and probabilities). Both are called once when a server loads the model. Names
    of inputs and outputs that TensorFlow cannot take are spelled differently;
    `assets.extra/names.json` in the version then tells which.

    Args:
        model: a built Keras model.
        root: folder of models, what a server's base path begins with.
        name: of the model on the server; None is the model's own.
        version: number of the version; an older SavedModel of that number is replaced.
            None is one more than the largest there is, however many processes export
            at once.
        labels: class names in the order of the outputs; None numbers them from "0".
        view: how encoded images come to the model's shape, "resize" or "center", as
            `hh_keras.data.load` had it in validation.
        image_shape: `(height, width, channels)` that encoded images are brought to, for
            a model that takes any size.
        encoded: the signature for encoded images: "auto" is `classify_bytes` for image
            classifiers and none for other models; None is none; or a function
            `(model, image_shape)` that returns a `hh_keras.export.Signature`. One that
            also has an argument `labels` is given them.
        warm_up: whether to write warm-up requests, which needs tensorflow-serving-api.
            None writes them if it is installed and warns if not.

    Returns:
        The version's path, a `pathlib.Path`.

    Raises:
        ModelError: the model is not built or cannot be exported; labels, view or
            shape do not fit it; `warm_up=True` and tensorflow-serving-api is missing.
        WorkdirError: the version exists and is no SavedModel, or is not writable.

    Examples:
        >>> hh_keras.export.saved_model(model, "models", labels=list("ABCDEFGHIJ"))
        PosixPath('models/net/1')
    """
    check_built(model)
    folder = Path(root) / _checked_name(name or model.name)
    signatures = [serving_default(model, image_shape)]
    signatures += _encoded(model, image_shape, labels, view, encoded)
    if warm_up is None and not warming.available():
        warnings.warn(
            f"{folder} gets no warm-up requests, so the first answers of a server "
            f"will be slow: {warming.MISSING} (or, in Python, pass warm_up=False).",
            stacklevel=1,  # the commands show warnings that come from this package
        )
    wanted = warming.available() if warm_up is None else warm_up

    def make(new):
        _write(model, signatures, new, folder)
        _note_names(model, new)
        if wanted:
            warming.write_warm_up(new, folder.name, signatures)

    if version is None:
        return files.add(_free_versions(folder), make)
    return _replace(folder / str(_checked_version(version)), make)


def _checked_name(name):
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ModelError(
            f"{name!r} cannot be a model's name on a server; use letters, digits, "
            "underscores, dots and hyphens."
        )
    return name


def _checked_version(version):
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ModelError(
            f"version={version!r}: the version of a model is a whole number from 1."
        )
    return version


def _free_versions(folder):
    """The numbers after the largest that is taken, as paths."""
    taken = [int(p.name) for p in folder.glob("*") if re.fullmatch("[0-9]+", p.name)]
    return (folder / str(n) for n in itertools.count(max(taken, default=0) + 1))


def _replace(path, make):
    replaceable = path.is_dir() and (
        (path / "saved_model.pb").is_file() or not any(path.iterdir())
    )
    if path.exists() and not replaceable:
        raise WorkdirError(
            f"{path} exists and is not a SavedModel; it is left alone. "
            "Choose another version, or remove it."
        )
    files.replace(path, make)
    return path


def _encoded(model, image_shape, labels, view, encoded):
    """The signature for encoded images, a list of one or none."""
    if callable(encoded):
        if labels is None:
            return [_made(encoded, model, image_shape)]
        if not takes_labels(encoded):
            raise ModelError(
                f"{model.name!r} is exported with labels, but `encoded` takes none. "
                "Leave labels out, or write encoded(model, image_shape, labels=None)."
            )
        return [_made(encoded, model, image_shape, labels=labels)]
    if encoded == "auto" and is_image_classifier(model):
        return [classify_bytes(model, image_shape, labels, view)]
    if labels is not None:
        raise ModelError(
            f"{model.name!r} is exported without classify_bytes, which is where labels "
            "go; it takes a classifier of one grey or RGB image. Leave labels out."
        )
    return []


def _made(encoded, *args, **labels):
    try:
        return encoded(*args, **labels)
    except HHError:
        raise
    except Exception as error:  # a user's function may raise anything
        raise ModelError(
            f"the signature by `encoded` failed with {type(error).__name__}: {error}"
        ) from error


def _write(model, signatures, new, folder):
    try:
        with quiet(), layer_names(model):
            archive = keras.export.ExportArchive()
            archive.track(model)
            for signature in signatures:
                archive.add_endpoint(
                    signature.name, signature.call, list(signature.inputs)
                )
            # What Keras itself writes and reads; unlike a signature it keeps the
            # structure and order of several outputs.
            archive.add_endpoint(
                "serve",
                lambda inputs: model(inputs, training=False),
                [_specs(model)],
            )
            archive.write_out(str(new), verbose=False)
    except Exception as error:  # tracing runs every layer's code
        raise ModelError(failed(model, folder, error)) from error


def _specs(model):
    """What the model takes, in its own structure."""
    inputs = structure(model)[0]
    specs = [
        tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=name)
        for tensor, name in zip(
            tf.nest.flatten(inputs), safe_names(input_names(model)), strict=True
        )
    ]
    return tf.nest.pack_sequence_as(inputs, specs)


def _note_names(model, new):
    """Leaves `NAMES` where names had to be changed: the new ones to the model's."""
    several = len(model.inputs) > 1
    told = {
        "inputs": renamed(input_names(model)) if several else {},
        "outputs": renamed(output_names(model), "output"),
    }
    if any(told.values()):
        path = new / NAMES
        path.parent.mkdir(exist_ok=True)
        text = json.dumps(told, indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
