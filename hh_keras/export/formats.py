"""Writing the files that are deployed, and proof that they say what the model says."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from hh_keras.data import example_shape
from hh_keras.errors import HHError
from hh_keras.export.exchange import onnx, openvino
from hh_keras.export.float32 import rounding
from hh_keras.export.lite import tflite
from hh_keras.export.parity import parity
from hh_keras.export.serving import saved_model
from hh_keras.export.sidecar import About
from hh_keras.export.signatures import takes_labels

TOLERANCE = 1e-4  # of an exact file's outputs, as a share of their spread
EXACT = ("saved_model", "float32")  # every run has them, and they say what Keras says
SAME = (*EXACT, "onnx", "openvino")  # these say what Keras says; the others round


def _saved_model(model, path, kind, image_shape, labels, view, encoded, _):
    saved_model(
        model,
        path.parents[1],
        path.parent.name,
        version=int(path.name),
        labels=None if callable(encoded) else labels,
        view=view,
        image_shape=image_shape,
        encoded=encoded,
    )


def _tflite(model, path, kind, image_shape, labels, view, encoded, settings):
    if kind not in ("int8", "qat"):
        settings = {**settings, "representative": None, "integer_io": False}
    if kind != "int8":
        settings = {**settings, "floats": ()}
    quantize = "int8" if kind == "qat" else kind
    tflite(model, path, image_shape, quantize, labels=labels, **settings)


def _onnx(model, path, *_):
    onnx(model, path)


def _openvino(model, path, *_):
    openvino(model, path)


# Kind of file: its path below a work directory, and what writes it. TF Serving wants
# versions of a model, in folders that are numbers.
_FORMATS: dict[str, tuple[str, Callable]] = {
    "saved_model": ("saved_model/{name}/1", _saved_model),
    "float32": ("{name}.tflite", _tflite),
    "float16": ("{name}.float16.tflite", _tflite),
    "dynamic": ("{name}.dynamic.tflite", _tflite),
    "int8": ("{name}.int8.tflite", _tflite),
    "qat": ("{name}.qat.tflite", _tflite),
    "onnx": ("{name}.onnx", _onnx),
    "openvino": ("{name}.openvino", _openvino),
}


def paths(folder: Path, name: str, kinds: Iterable[str]) -> dict[str, Path]:
    """Kind to the path of the exported file, for the kinds asked for."""
    return {kind: folder / _FORMATS[kind][0].format(name=name) for kind in kinds}


def write(
    model: Any,
    path: Path,
    kind: str,
    image_shape: tuple,
    labels: Sequence[str] | None,
    view: str = "resize",
    encoded: Callable | str | None = "auto",
    **settings: Any,
) -> None:
    """Writes one file.

    Args:
        model: what to export; for "qat" a `hh_keras.export.QuantizationAware`.
        path: where it goes.
        kind: "saved_model", "qat", "onnx", "openvino", or one of
            `hh_keras.export.QUANTIZE`.
        image_shape: `(height, width, channels)`.
        labels: class names; None where the model has other outputs.
        view: how image files come to the model's shape.
        encoded: of `hh_keras.export.saved_model`.
        **settings: of `hh_keras.export.tflite`; those that the kind does not take are
            left out.
    """
    make = _FORMATS[kind][1]
    make(model, path, kind, image_shape, labels, view, encoded, settings)


def named(
    encoded: Callable | str | None, class_names: Sequence[str]
) -> Callable | str | None:
    """A task's own `encoded`, told the names of its classes if it takes `labels`."""
    if not callable(encoded) or not takes_labels(encoded):
        return encoded
    return functools.partial(encoded, labels=tuple(class_names))


def labels_of(model: keras.Model, class_names: Sequence[str]) -> Sequence[str] | None:
    """The class names if the model has one output for each, otherwise None."""
    shapes = [tuple(tensor.shape[1:]) for tensor in model.outputs]
    return class_names if shapes == [(len(class_names),)] else None


def write_exact(
    model: keras.Model,
    folder: Path,
    name: str,
    images: Any,
    class_names: Sequence[str],
    view: str,
    encoded: Callable | str | None = "auto",
    about: About | None = None,
    read: Callable | None = None,
) -> dict[str, dict]:
    """Writes files that must say what the model says, and checks that they do.

    Args:
        model: what to export.
        folder: the work directory.
        name: of the model in the file names.
        images: what the check runs on, float32 `(n, h, w, c)`; a tuple of such for
            networks of several images.
        class_names: of the data.
        view: how image files come to the model's shape.
        encoded: of `hh_keras.export.saved_model`.
        about: of `hh_keras.export.tflite`.
        read: of `hh_keras.export.parity`.

    Returns:
        Format to the fields of a `hh_keras.export.Parity`, a dict.

    Raises:
        HHError: an exported file computes something else than the model.
    """
    found, shape = {}, example_shape(images)
    encoded = named(encoded, class_names)
    for kind, path in paths(folder, name, EXACT).items():
        labels = labels_of(model, class_names)
        write(model, path, kind, shape, labels, view, encoded, about=about)
        found[kind] = dataclasses.asdict(parity(model, path, images, read))
        found[kind]["tolerance"] = tolerance(model)
        problem = inexact(path, found[kind])
        if problem:
            raise HHError(problem)
    return found


def tolerance(model: keras.Model) -> float:
    """How far an exact file may be off; a model in half precision rounds itself."""
    return max(TOLERANCE, 8 * rounding(model))


def inexact(path: Path | str, found: Mapping) -> str | None:
    """What is wrong with a file that should be exact; None if nothing is."""
    most = found.get("tolerance", TOLERANCE)
    if found["max_abs"] <= most * max(found["spread"], 1e-12):
        return None
    return (
        f"{path} differs from the Keras model by up to {found['max_abs']:.3g} on "
        f"{found['examples']} images, more than {most:g} of the outputs' spread "
        f"({found['spread']:.3g}); do not deploy this file."
    )


def parity_line(parity: Mapping) -> str:
    """One line on how far an exported file is from its model."""
    return (
        f"largest difference {parity['max_abs']:.2g} "
        f"(outputs spread over {parity['spread']:.3g})"
    )


def file_size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    parts = path.rglob("*") if path.is_dir() else [path]
    return sum(part.stat().st_size for part in parts if part.is_file())
