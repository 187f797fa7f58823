"""ONNX and OpenVINO: files for other runtimes, written by Keras and run by theirs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from hh_keras import files
from hh_keras.errors import HHError, ModelError
from hh_keras.export.checks import check_built, failed, structure
from hh_keras.export.float32 import computing_in_float32
from hh_keras.export.names import layer_names
from hh_keras.export.quiet import quiet

GRAPH = "model.xml"
"""The file of an OpenVINO folder that tells of the graph; model.bin has the weights."""


def onnx(model: keras.Model, path: str | Path) -> Path:
    """Writes an `.onnx` file, float32, for any batch, channels last as in Keras.

    Args:
        model: a built Keras model.
        path: the file.

    Raises:
        ModelError: the model is not built, or has an operation that ONNX lacks.
        HHError: tf2onnx is not installed.
        WorkdirError: the file cannot be written.

    Examples:
        >>> path = hh_keras.export.onnx(model, "model.onnx")
        >>> hh_keras.export.parity(model, path, images).relative < 1e-4
        True
    """
    _wanted("tf2onnx", "onnx")
    path = Path(path)
    files.replace(path, lambda new: _export(model, new, path, "onnx"))
    return path


def openvino(model: keras.Model, path: str | Path) -> Path:
    """Writes a folder with `model.xml` and `model.bin`, float32, for any batch.

    Args:
        model: a built Keras model.
        path: the folder.

    Raises:
        ModelError: the model is not built, or has an operation that OpenVINO lacks.
        HHError: openvino is not installed.
        WorkdirError: the folder cannot be written.

    Examples:
        >>> path = hh_keras.export.openvino(model, "model_openvino")
        >>> hh_keras.export.parity(model, path, images).relative < 1e-4
        True
    """
    _wanted("openvino", "openvino")
    path = Path(path)

    def make(new):
        new.mkdir()
        _export(model, new / GRAPH, path, "openvino")

    files.replace(path, make)
    return path


def _export(model, new, path, kind):
    check_built(model)
    try:
        with quiet(), layer_names(model), computing_in_float32(model):
            model(structure(model)[0])  # Keras exports what has been called
            model.export(str(new), format=kind, verbose=False)
    except Exception as error:  # converters raise many kinds
        raise ModelError(failed(model, path, error)) from error


def open_onnx(path: Path, threads: int | None) -> Callable:
    """Opens an `.onnx` file; as `hh_keras.export.open_model`."""
    session = _session(path, threads)
    wanted = session.get_inputs()

    def run(arrays):
        given = {
            each.name: np.asarray(array, _dtype(each.type))
            for each, array in zip(wanted, arrays, strict=True)
        }
        return session.run(None, given)

    return run


def onnx_specs(path: Path) -> list:
    """What an `.onnx` file takes; as `hh_keras.export.prediction.input_specs`."""
    return [
        (
            tuple(n if isinstance(n, int) else None for n in each.shape),
            _dtype(each.type),
        )
        for each in _session(path, 1).get_inputs()
    ]


def _session(path, threads):
    runtime = _wanted("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    return runtime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


def _dtype(name):
    """`tensor(float)` as numpy has it."""
    kind = name.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64"}.get(kind, kind))


def open_openvino(path: Path, threads: int | None) -> Callable:
    """Opens an OpenVINO folder or `.xml` file; as `hh_keras.export.open_model`."""
    core = _wanted("openvino", "openvino").Core()
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    compiled = core.compile_model(str(_graph(path)), "CPU", settings)
    kinds = [each.get_element_type().to_dtype() for each in compiled.inputs]

    def run(arrays):
        given = [np.asarray(a, kind) for kind, a in zip(kinds, arrays, strict=True)]
        found = compiled(given)
        return [np.array(found[each]) for each in compiled.outputs]

    return run


def openvino_specs(path: Path) -> list:
    """What an OpenVINO file takes; as `hh_keras.export.prediction.input_specs`."""
    read = _wanted("openvino", "openvino").Core().read_model(str(_graph(path)))
    return [
        (
            tuple(
                int(n.get_length()) if n.is_static else None
                for n in each.get_partial_shape()
            ),
            np.dtype(each.get_element_type().to_dtype()),
        )
        for each in read.inputs
    ]


def is_openvino(path: Path) -> bool:
    """Whether it is a folder that `openvino` made, or an `.xml` file."""
    return path.suffix == ".xml" or (path / GRAPH).is_file()


def _graph(path):
    return path / GRAPH if path.is_dir() else path


def _wanted(module, extra):
    """A module that an extra brings.

    Raises:
        HHError: it is not installed.
    """
    try:
        return __import__(module)
    except ImportError as error:
        raise HHError(
            f"{module} is not installed: pip install 'hh_keras[{extra}]', or leave "
            "that format out."
        ) from error
