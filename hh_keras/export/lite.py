"""Writing `.tflite` files."""

from pathlib import Path

import tensorflow as tf

from hh_keras import files
from hh_keras.errors import ModelError
from hh_keras.export.checks import check_built, failed
from hh_keras.export.quiet import quiet


def tflite(model, path, image_shape=None):
    """Writes a float32 `.tflite` file that takes one example at a time.

    The batch is fixed to 1: every shape is then known to the converter, which can
    fold all shape arithmetic away and leave nothing a delegate would refuse.

    Args:
        model: a built Keras model.
        path: file to write; an older one is replaced.
        image_shape: `(height, width, channels)`, for a model with one input whose
            spatial size is unknown.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        ModelError: the model is not built, has inputs of unknown size, or cannot be
            converted.
        WorkdirError: `path` is not writable.
    """
    path = Path(path)
    check_built(model)
    function = _one_example(model, image_shape)
    try:
        with quiet():
            # Without the model itself: given one, the converter leaves its variables
            # as variables that no interpreter ever initialises.
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
            content = converter.convert()
    except Exception as error:  # the converter raises many kinds
        raise ModelError(failed(model, path, error)) from error
    files.write(path, content)
    return path


def _one_example(model, image_shape):
    """The model as a concrete function of inputs with batch 1."""
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if image_shape is not None and len(shapes) == 1:
        shapes = [tuple(image_shape)]
    specs = []
    for shape, tensor in zip(shapes, model.inputs, strict=True):
        if None in shape:
            raise ModelError(
                f"Input {tensor.name!r} of {model.name!r} has the shape {shape}; a "
                ".tflite file needs fixed sizes. Give image_shape."
            )
        specs.append(tf.TensorSpec((1, *shape), tensor.dtype, name=tensor.name))

    @tf.function(autograph=False)
    def call(*inputs):
        structured = tf.nest.pack_sequence_as(model.input, list(inputs))
        return model(structured, training=False)

    try:
        return call.get_concrete_function(*specs)
    except Exception as error:  # tracing runs every layer's code
        reason = " ".join(str(error).split())[:400]
        raise ModelError(f"{model.name!r} cannot be traced: {reason}") from error
