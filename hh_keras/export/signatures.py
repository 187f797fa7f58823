"""A signature: one way to call a served model."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.export.checks import structure
from hh_keras.export.names import safe_names
from hh_keras.graph.heads import from_logits

DEFAULT = "serving_default"


@dataclasses.dataclass(frozen=True)
class Signature:
    """One way to call a served model.

    Attributes:
        name: what a request names it by.
        inputs: one `tf.TensorSpec` per input, named, with the batch first and unknown.
        call: function of as many tensors, in TensorFlow operations; returns a dict of
            output name to tensor.
        examples: requests to warm a server up with, each a dict of input name to
            array; may be empty.

    Examples:
        >>> import tensorflow as tf
        >>> def brightness(pixels):
        ...     return {"brightness": tf.reduce_mean(pixels, [1, 2, 3])}
        >>> spec = tf.TensorSpec((None, 8, 8, 3), tf.float32, name="pixels")
        >>> signature = hh_keras.export.Signature("brightness", (spec,), brightness)
        >>> path = hh_keras.export.saved_model(
        ...     model, "models", encoded=lambda model, image_shape: signature
        ... )
        >>> sorted(tf.saved_model.load(str(path)).signatures)
        ['brightness', 'serve', 'serving_default']
    """

    name: str
    inputs: tuple
    call: Callable
    examples: tuple = ()


def serving_default(model: keras.Model, image_shape: tuple | None = None) -> Signature:
    """The model as it is: float pixels in, its outputs by name out.

    One input is called `images`; several have the names of the model's inputs. The
    output of a classifier is called `logits` or `probabilities`; outputs of other
    models have the names of their dict or of their layers. Names that TensorFlow does
    not take are spelled as `hh_keras.export.names.safe_names` has it.

    Args:
        model: a built Keras model.
        image_shape: `(height, width, channels)` of the warm-up request, for a model
            with one input whose spatial size is unknown.

    Returns:
        A `Signature`.
    """
    tensors = tf.nest.flatten(structure(model)[0])
    names = ["images"] if len(tensors) == 1 else safe_names(input_names(model))
    inputs = tuple(
        tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=name)
        for name, tensor in zip(names, tensors, strict=True)
    )
    outputs = safe_names(output_names(model), "output")

    def call(*arrays):
        structured = tf.nest.pack_sequence_as(structure(model)[0], list(arrays))
        found = tf.nest.flatten(model(structured, training=False))
        return dict(zip(outputs, found, strict=True))

    shapes = [tuple(tensor.shape[1:]) for tensor in tensors]
    if image_shape is not None and len(shapes) == 1:
        shapes = [tuple(image_shape)]
    if any(None in shape for shape in shapes):
        return Signature(DEFAULT, inputs, call)
    example = {
        spec.name: tf.zeros((1, *shape), spec.dtype).numpy()
        for spec, shape in zip(inputs, shapes, strict=True)
    }
    return Signature(DEFAULT, inputs, call, (example,))


def takes_labels(encoded: Callable) -> bool:
    """Whether a function that makes a signature has an argument for class names."""
    return "labels" in inspect.signature(encoded).parameters


def labels_for(labels: Sequence[str] | None, classes: int, name: str) -> tf.Tensor:
    """Names of a model's classes as a signature tells them, strings `(classes,)`.

    Args:
        labels: in the order of the outputs; None numbers them from "0".
        classes: how many the model knows.
        name: the model's.

    Raises:
        ModelError: there are more or fewer labels than classes.
    """
    names = [str(each) for each in (range(classes) if labels is None else labels)]
    if len(names) != classes:
        raise ModelError(
            f"{name!r} has {classes} outputs, but there are {len(names)} labels. "
            "Give one label per output."
        )
    return tf.constant(names)


def is_image_classifier(model: keras.Model) -> bool:
    """Whether a model takes one grey or RGB image and gives one value per class."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        return False
    takes, gives = model.inputs[0].shape, model.outputs[0].shape
    classes = len(gives) == 2 and gives[-1] is not None and gives[-1] > 1
    return classes and len(takes) == 4 and takes[-1] in (1, 3)


def wanted_shape(model: keras.Model, image_shape: tuple | None) -> tuple:
    """The `(height, width, channels)` that encoded images are brought to.

    Raises:
        ModelError: neither the model nor `image_shape` tells, or they differ.
    """
    takes = tuple(model.inputs[0].shape[1:])
    given = takes if image_shape is None else tuple(image_shape)
    if None in given:
        raise ModelError(
            f"{model.name!r} takes images of any size, {takes}; encoded images must be "
            "brought to one. Give image_shape, or encoded=None."
        )
    if any(own not in (None, size) for own, size in zip(takes, given, strict=True)):
        raise ModelError(
            f"image_shape={given} does not fit {model.name!r}, which takes {takes}."
        )
    return given


def input_names(model: keras.Model) -> list[str]:
    """Names of a model's inputs, in the order of `tf.nest.flatten`."""
    return [tensor.name for tensor in tf.nest.flatten(structure(model)[0])]


def output_names(model: keras.Model) -> list[str]:
    """Names of a model's outputs, in the order of `tf.nest.flatten`."""
    if is_image_classifier(model):
        return ["logits" if from_logits(model) else "probabilities"]
    # In the order of tf.nest.flatten, which sorts the keys of a dict.
    outputs = structure(model)[1]
    if isinstance(outputs, dict) and len(outputs) == len(model.outputs):
        return sorted(outputs)
    by_tensor = {id(t): name for t, name in zip(model.outputs, model.output_names)}
    names = [by_tensor[id(tensor)] for tensor in tf.nest.flatten(outputs)]
    return [
        name if names.count(name) == 1 else f"{name}_{place}"
        for place, name in enumerate(names)
    ]
