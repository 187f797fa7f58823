"""Writing `.tflite` files: float32, float16, dynamic range, int8."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras import files
from hh_keras.errors import ModelError
from hh_keras.export.checks import check_built, reason, structure
from hh_keras.export.float32 import call_in_float32, float32_dtype, is_float32
from hh_keras.export.missing import conversion_failure
from hh_keras.export.mixed import convert_mixed
from hh_keras.export.names import layer_names, renamed, safe_names
from hh_keras.export.prediction import interpreter_class
from hh_keras.export.quantizing import QuantizationAware
from hh_keras.export.quiet import quiet
from hh_keras.export.sidecar import About, sidecar, write_sidecar
from hh_keras.export.signatures import output_names
from hh_keras.graph.biases import depends_on_batch
from hh_keras.graph.calls import is_graph
from hh_keras.graph.heads import from_logits
from hh_keras.graph.reach import reach

QUANTIZE = ("float32", "float16", "dynamic", "int8")
"""What `tflite` can make of weights and arithmetic.

Examples:
    >>> hh_keras.export.QUANTIZE
    ('float32', 'float16', 'dynamic', 'int8')
"""


def tflite(
    model: keras.Model | QuantizationAware,
    path: str | Path,
    image_shape: tuple | None = None,
    quantize: str = "float32",
    *,
    representative: Any = None,
    integer_io: bool = False,
    floats: Sequence[str] = (),
    labels: Sequence[str] | None = None,
    batch: int = 1,
    about: About | None = None,
) -> Path:
    """Writes a `.tflite` file, and beside it a `.json` that tells how to use it.

    The batch is fixed: every shape is then known to the converter, which can fold all
    shape arithmetic away and leave nothing a delegate would refuse. A model of another
    dtype policy, such as "mixed_float16", is written as the same computation in
    float32.

    Args:
        model: a built Keras model; or, with `quantize="int8"`, what
            training for int8 made, which knows its ranges and needs no representative
            images.
        path: file to write, `NAME.tflite`; an older one is replaced, and so is
            `NAME.json`.
        image_shape: `(height, width, channels)`, for a model with one input whose
            spatial size is unknown.
        quantize: what weights and arithmetic are. "float32"; "float16": weights are
            stored in half the bytes; "dynamic": weights are int8, activations are
            quantised while it runs; "int8": all operations are on integers.
        representative: images of the training set, float32 `(n, height, width,
            channels)` in the range that the model takes, from which the ranges of the
            activations are read; a hundred are enough. For "int8". For a model with
            several inputs a list or dict of arrays in the model's order.
        integer_io: whether inputs and outputs are int8 too; otherwise they are float32,
            and the file itself converts. For "int8".
        floats: names of layers that compute in floats all the same, because 8 bits are
            too few for them. For "int8".
        labels: class names in the order of the outputs, for the `.json`.
        batch: examples that the file takes at once.
        about: which inputs are images, and what else the `.json` says; None takes
            inputs of one or three channels for images, to be resized as a whole, or,
            of networks that make images of them, cut into tiles.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        ModelError: the model is not built, has inputs of unknown size, was quantised by
            Keras, or cannot be converted (what the converter said is the `__cause__`);
            representative images are missing or have another shape; labels and outputs
            differ in number.
        WorkdirError: `path` is not writable.

    Examples:
        >>> path = hh_keras.export.tflite(
        ...     model, "model.tflite", quantize="int8", representative=images
        ... )
        >>> hh_keras.export.predict(path, images).shape
        (16, 10)
    """
    path = Path(path)
    learnt = isinstance(model, QuantizationAware)
    if isinstance(model, QuantizationAware):
        logits, model = model.logits, model.model
    else:
        logits = _logits(model)
    check_built(model)
    _check_quantize(quantize, integer_io, learnt, floats)
    specs = _specs(model, image_shape, batch)
    examples = None
    if quantize == "int8" and not learnt:
        examples = _examples(model, specs, representative)
    function = _traced(model, specs)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what it is meant to do
            # Without the model itself: given one, the converter leaves its variables
            # as variables that no interpreter ever initialises.
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
            _quantised(converter, quantize, examples, integer_io, bool(floats))
            content = (
                convert_mixed(converter, floats) if floats else converter.convert()
            )
    except Exception as error:  # the converter raises many kinds
        text = conversion_failure(model, path, function, error)
        raise ModelError(text) from error
    if learnt:
        _check_integer(model, content)
    tiles = _tiles(model) if about is None else None
    changed = renamed([tensor.name for tensor in model.inputs])
    several = len(getattr(model, "outputs", None) or ()) > 1
    names = output_names(model) if several else ()
    described = sidecar(
        path, content, quantize, labels, logits, tiles, changed, about, names
    )
    files.write(path, content)
    write_sidecar(path, described)
    return path


def _tiles(model):
    """The reach of a network from images to images; None of others, or if unknown."""
    tensors = [*model.inputs, *model.outputs]
    if len(tensors) != 2 or not all(
        len(x.shape) == 4 and x.shape[-1] in (1, 3) for x in tensors
    ):
        return None
    try:
        return reach(model)
    except ModelError:
        return None


def _check_quantize(quantize, integer_io, learnt, floats):
    if quantize not in QUANTIZE:
        raise ModelError(f"quantize={quantize!r} is none of {', '.join(QUANTIZE)}.")
    if learnt and quantize != "int8":
        raise ModelError(
            f'A network trained for int8 is written with quantize="int8", not '
            f"{quantize!r}; write the network it came from."
        )
    if integer_io and quantize != "int8":
        raise ModelError(
            f'integer_io needs quantize="int8"; {quantize!r} computes in floats.'
        )
    if floats and (quantize != "int8" or learnt or integer_io):
        raise ModelError(
            f'floats={list(floats)} is for quantize="int8" with float inputs and '
            "outputs, of a network that was not trained for int8: leave it out."
        )


def _specs(model, image_shape, batch):
    """What each input is, with its batch and its sizes known."""
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if image_shape is not None and len(shapes) == 1:
        shapes = [tuple(image_shape)]
    specs = []
    names = safe_names([tensor.name for tensor in model.inputs])
    for shape, tensor, name in zip(shapes, model.inputs, names, strict=True):
        if None in shape:
            raise ModelError(
                f"Input {tensor.name!r} of {model.name!r} has the shape {shape}; a "
                ".tflite file needs fixed sizes. Give image_shape."
            )
        dtype = float32_dtype(tensor.dtype)
        specs.append(tf.TensorSpec((batch, *shape), dtype, name=name))
    return specs


def _examples(model, specs, representative):
    """A generator of batches, as the converter takes representative data."""
    if representative is None or not len(representative):
        raise ModelError(
            f'{model.name!r} cannot become int8 without data: quantize="int8" needs '
            "representative images of the training set, about a hundred, from which "
            "the ranges of its activations are read."
        )
    arrays = [np.asarray(array) for array in tf.nest.flatten(representative)]
    for array, spec in zip(arrays, specs, strict=True):
        if array.shape[1:] != tuple(spec.shape[1:]) or len(array) < spec.shape[0]:
            raise ModelError(
                f"The representative images have the shape {array.shape}; input "
                f"{spec.name!r} of {model.name!r} takes {tuple(spec.shape)} at once."
            )
    batch = specs[0].shape[0]

    def generate():
        for start in range(0, len(arrays[0]) - batch + 1, batch):
            yield [
                array[start : start + batch].astype(spec.dtype.as_numpy_dtype)
                for array, spec in zip(arrays, specs, strict=True)
            ]

    return generate


def _traced(model, specs):
    """The model as a concrete function of inputs with a known batch."""

    whole = is_float32(model)
    if whole and is_graph(model):  # else Keras may add to another axis there
        whole = not depends_on_batch(model, specs[0].shape[0] or 1)

    @tf.function(autograph=False)
    def call(*inputs):
        structured = tf.nest.pack_sequence_as(structure(model)[0], list(inputs))
        if not whole:
            return call_in_float32(model, structured)
        return model(structured, training=False)

    try:
        with layer_names(model):
            return call.get_concrete_function(*specs)
    except Exception as error:  # tracing runs every layer's code
        raise ModelError(f"{model.name!r} cannot be traced: {reason(error)}") from error


def _quantised(converter, quantize, examples, integer_io, mixed):
    """Sets a converter up."""
    if quantize == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if examples is not None:
        # An operation without an integer kernel is an error, not a float in between.
        int8 = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        others = [tf.lite.OpsSet.TFLITE_BUILTINS] if mixed else []
        converter.target_spec.supported_ops = [int8, *others]
        converter.representative_dataset = examples
    if integer_io:
        converter.inference_input_type = converter.inference_output_type = tf.int8


def _check_integer(model, content):
    """Raises if a file of learnt ranges computes in floats somewhere.

    Given no examples, the converter does not complain of that itself.
    """
    with quiet():
        interpreter = interpreter_class()(model_content=content)
    ends = (interpreter.get_input_details(), interpreter.get_output_details())
    known = {detail["index"] for details in ends for detail in details}
    floats = [
        detail["name"].rpartition("/")[0] or detail["name"]
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] == np.float32 and detail["index"] not in known
    ]
    if floats:
        raise ModelError(
            f"{model.name!r} was trained for int8, but its file would compute in "
            f"floats at {', '.join(sorted(set(floats))[:3])}. Quantise the "
            'Keras model after training instead: quantize="int8" with representative '
            "images."
        )


def _logits(model):
    """Whether a classifier puts out logits; None for other models."""
    outputs = getattr(model, "outputs", None) or ()
    if len(outputs) != 1 or len(outputs[0].shape) != 2:
        return None
    return from_logits(model)
