"""One way to run a model in memory and every kind of file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import HHError, ModelError
from hh_keras.export.checks import reason, structure
from hh_keras.export.exchange import (
    is_openvino,
    onnx_specs,
    open_onnx,
    open_openvino,
    openvino_specs,
)
from hh_keras.export.names import layer_names
from hh_keras.export.quiet import quiet
from hh_keras.models.files import from_file, is_keras_file


def predict(
    model: Any, images: Any, batch_size: int = 64, threads: int | None = None
) -> Any:
    """Runs a model or an exported file.

    Args:
        model: a Keras model, also one of tf_keras, or the path of a `.keras` or `.h5`
            file, a SavedModel directory, a `.tflite` or `.onnx` file, or an OpenVINO
            folder; or what `open_model` made of one of them.
        images: float array of shape `(n, height, width, channels)`; for a model with
            several inputs a list or dict of such arrays in the model's order.
        batch_size: examples at once; a `.tflite` file takes as many as it was made
            for, whatever this says.
        threads: of the runtime, but for TensorFlow; None leaves it the choice.

    Returns:
        float32 array of shape `(n, ...)`; a list of them for several outputs.

    Raises:
        ModelError: no such file, a corrupt one, or one that takes other inputs.

    Examples:
        >>> path = hh_keras.export.tflite(model, "model.tflite")
        >>> hh_keras.export.predict(path, images).shape
        (16, 10)
    """
    inputs = [np.asarray(array) for array in tf.nest.flatten(images)]
    run = model if _is_opened(model) else open_model(model, threads)
    parts = [
        run([array[start : start + batch_size] for array in inputs])
        for start in range(0, len(inputs[0]), batch_size)
    ]
    outputs = [
        np.concatenate(column).astype("float32") for column in zip(*parts, strict=True)
    ]
    return outputs[0] if len(outputs) == 1 else outputs


def open_model(model: Any, threads: int | None = None) -> Callable:
    """Opens a model or file for running.

    Args:
        model: as for `predict`.
        threads: of the runtime, but for TensorFlow; None leaves it the choice.

    Returns:
        A function from a list of input arrays to a list of output arrays. It raises
        `ModelError` for inputs that the model does not take.

    Raises:
        ModelError: no such file, or a corrupt one; the message names it.

    Examples:
        >>> run = hh_keras.export.open_model(model)
        >>> [output.shape for output in run([images])]
        [(16, 10)]
    """
    if _is_model(model):
        return _explained(_keras_runner(model), model.name)
    path = Path(model)
    try:
        return _explained(_opener(path)(path, threads), path)
    except HHError:
        raise
    except Exception as error:  # each format has errors of its own
        raise ModelError(f"{path} cannot be loaded: {reason(error)}") from error


def input_shape(path: str | Path) -> tuple:
    """The shape of one example that a file takes.

    Args:
        path: `.keras` file, SavedModel directory or `.tflite` file with one input.

    Returns:
        Tuple such as `(height, width, channels)`; None where any size will do.

    Raises:
        ModelError: no such file, a corrupt one, or one with several inputs.

    Examples:
        >>> path = hh_keras.export.tflite(model, "model.tflite")
        >>> hh_keras.export.input_shape(path)
        (8, 8, 3)
    """
    specs = input_specs(path)
    if len(specs) != 1:
        raise ModelError(f"{path} has {len(specs)} inputs; exactly one is needed.")
    return specs[0][0][1:]


def input_specs(model: Any) -> list:
    """What a model or a file takes.

    Args:
        model: a Keras model, a `.keras` or `.h5` file, a SavedModel directory or a
            `.tflite` file.

    Returns:
        A list of `(shape, dtype)`, one per input: the shape with the batch, None where
        any size will do, and a numpy dtype.

    Raises:
        ModelError: no such file, or a corrupt one.
    """
    if isinstance(model, keras.Model):
        return _keras_specs(model)
    path = Path(model)
    opener = _opener(path)
    try:
        if opener is _open_tflite:
            with quiet():
                interpreter = interpreter_class()(model_path=str(path))
            return [
                (
                    tuple(None if n < 0 else int(n) for n in detail["shape_signature"]),
                    np.dtype(detail["dtype"]),
                )
                for detail in interpreter.get_input_details()
            ]
        if opener in (open_onnx, open_openvino):
            return (onnx_specs if opener is open_onnx else openvino_specs)(path)
        if opener is _open_saved_model:
            return [
                (tuple(spec.shape), np.dtype(spec.dtype.as_numpy_dtype))
                for spec in _served_specs(tf.saved_model.load(str(path)))
            ]
        return _keras_specs(from_file(path))
    except HHError:
        raise
    except Exception as error:
        raise ModelError(f"{path} cannot be loaded: {reason(error)}") from error


def _served_specs(loaded):
    """Of the inputs, in the order in which `open_model` takes them."""
    endpoint = getattr(loaded, "serve", None)
    if endpoint is not None:  # the signature loses the order
        arguments, _ = endpoint.concrete_functions[0].structured_input_signature
        return tf.nest.flatten(arguments)
    signature = loaded.signatures["serving_default"]
    return list(signature.structured_input_signature[1].values())


def _keras_specs(model):
    return [(tuple(x.shape), np.dtype(str(x.dtype))) for x in model.inputs]


def _opener(path):
    if not path.exists():
        raise ModelError(f"There is no model at {path}.")
    if is_openvino(path):
        return open_openvino
    if path.is_dir():
        return _open_saved_model
    if path.suffix == ".tflite":
        return _open_tflite
    if path.suffix == ".onnx":
        return open_onnx
    if not is_keras_file(path):
        raise ModelError(
            f"{path} is neither a .keras or .h5 file, a .tflite or .onnx file, nor a "
            "SavedModel or OpenVINO directory."
        )
    return _open_keras


def _is_model(model):
    return callable(model) and hasattr(model, "inputs")


def _is_opened(model):
    return callable(model) and not _is_model(model)


def _explained(run, name):
    """Makes whatever a runtime raises one message that names the model."""

    def explained(arrays):
        try:
            return run(arrays)
        except Exception as error:  # each runtime has errors of its own
            shapes = ", ".join(str(array.shape[1:]) for array in arrays)
            raise ModelError(
                f"{name} does not run on inputs {shapes}: {reason(error)}"
            ) from error

    return explained


def _open_keras(path, _):
    return _keras_runner(from_file(path))


def _keras_runner(model):
    @tf.function(autograph=False)
    def call(inputs):
        structured = tf.nest.pack_sequence_as(structure(model)[0], inputs)
        with layer_names(model):
            return tf.nest.flatten(model(structured, training=False))

    return lambda arrays: [output.numpy() for output in call(_tensors(arrays))]


def _open_saved_model(path, _):
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    # The signature loses the order of the outputs; the endpoint that Keras adds
    # beside it returns the model's own structure.
    endpoint = getattr(loaded, "serve", None)
    if endpoint is None:
        names = list(serve.structured_input_signature[1])

        def call(arrays):
            return serve(**dict(zip(names, _tensors(arrays), strict=True)))
    else:
        arguments, _ = endpoint.concrete_functions[0].structured_input_signature

        def call(arrays):
            return endpoint(tf.nest.pack_sequence_as(arguments[0], _tensors(arrays)))

    def run(arrays):
        return [output.numpy() for output in tf.nest.flatten(call(arrays))]

    run.loaded = loaded  # its variables live only as long as it does
    return run


def _open_tflite(path, threads):
    with quiet():
        interpreter = interpreter_class()(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    inputs = interpreter.get_input_details()
    outputs = interpreter.get_output_details()

    batch = int(inputs[0]["shape"][0])

    def run_batch(arrays):
        for detail, array in zip(inputs, arrays, strict=True):
            interpreter.set_tensor(detail["index"], _to_tensor(array, detail))
        interpreter.invoke()
        return [_from_tensor(interpreter.get_tensor(d["index"]), d) for d in outputs]

    def run(arrays):
        examples = len(arrays[0])
        arrays = [_filled_up(array, batch) for array in arrays]
        parts = [
            run_batch([array[i : i + batch] for array in arrays])
            for i in range(0, examples, batch)
        ]
        return [np.concatenate(row)[:examples] for row in zip(*parts, strict=True)]

    return run


def _filled_up(array, batch):
    """Repeats the last example until the last batch is full."""
    return np.concatenate([array, *[array[-1:]] * (-len(array) % batch)])


def _to_tensor(array, detail):
    """Real values as the tensor holds them."""
    scale, zero_point = detail["quantization"]
    if not scale or array.dtype == detail["dtype"]:
        return array.astype(detail["dtype"])
    limits = np.iinfo(detail["dtype"])
    integers = np.round(array / np.float32(scale)) + zero_point
    return np.clip(integers, limits.min, limits.max).astype(detail["dtype"])


def _from_tensor(array, detail):
    """What the tensor holds as real values."""
    scale, zero_point = detail["quantization"]
    if not scale:
        return array
    return (array.astype("float32") - zero_point) * np.float32(scale)


def interpreter_class() -> Any:
    """LiteRT's interpreter where it is installed; TensorFlow's is being retired."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return tf.lite.Interpreter
    return Interpreter


def _tensors(arrays):
    return [tf.convert_to_tensor(array) for array in arrays]
