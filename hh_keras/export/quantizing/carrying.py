"""From a Keras 3 network to the same network in tf_keras."""

import collections
import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.export.checks import check_built, structure
from hh_keras.export.quantizing.layers import LAYERS
from hh_keras.export.quantizing.legacy import modules
from hh_keras.export.quantizing.operations import OPERATIONS
from hh_keras.export.quantizing.tape import Tape, refused
from hh_keras.graph.calls import interpret, is_layer, op_key

TOLERANCE = 1e-5  # of the outputs' spread


@dataclasses.dataclass(frozen=True, eq=False)
class Carried:
    """A network in tf_keras, and the steps that it was made of.

    Attributes:
        model: `tf_keras.Model` with copies of the weights; its inputs and outputs have
            the structure of the original's.
        steps: tuple of `hh_keras.export.quantizing.tape.Step`.
        difference: largest difference of an output to the original's on the images
            it was tried on, as a share of the outputs' spread.

    Examples:
        >>> carried = hh_keras.export.carry(model)
        >>> type(carried.model).__module__.split(".")[0], len(carried.steps)
        ('tf_keras', 6)
        >>> carried.difference < 1e-5
        True
    """

    model: Any
    steps: tuple
    difference: float


@dataclasses.dataclass(frozen=True, eq=False)
class QuantizationAware:
    """A network that was trained for int8; `hh_keras.export.tflite` writes it.

    Attributes:
        model: `tf_keras.Model` that rounds as the int8 file will.
        logits: whether it ends in logits; None if it is no classifier.
        difference: of the tf_keras network to the Keras 3 one before training, as a
            share of the outputs' spread.
        history: list with one dict per epoch: epoch (from 1), loss, accuracy, seconds.

    Examples:
        >>> from hh_keras.tasks.classification.quantization import quantization_aware
        >>> data = hh_keras.data.load("embedded", (8, 8, 3), batch_size=8, limit=20)
        >>> aware = quantization_aware(model, data, epochs=1, calibration_images=8)
        >>> aware.logits, sorted(aware.history[0])
        (True, ['accuracy', 'epoch', 'loss', 'seconds'])
        >>> path = hh_keras.export.tflite(aware, "model.tflite", quantize="int8")
    """

    model: Any
    logits: bool | None
    difference: float
    history: list[dict]


def carry(
    model: keras.Model, images: Any = None, image_shape: tuple | None = None
) -> Carried:
    """Carries a Keras 3 network to tf_keras, layer by layer, with its weights.

    What several kernels of a phone compute becomes several layers: a convolution and
    its activation, the two halves of a separable convolution. A BatchNormalization that
    follows no convolution gets one that does nothing, into which it can be folded.
    Nested models are laid open; shared layers stay shared. Regularisers stay behind.

    Args:
        model: a built functional or Sequential model; it is not changed.
        images: what the two are compared on, float32 `(n, h, w, c)`, or a list of
            arrays for several inputs; None takes random numbers.
        image_shape: `(height, width, channels)`, for a model with one input whose
            spatial size is unknown.

    Returns:
        A `Carried`.

    Raises:
        ModelError: a layer cannot be carried (the message names it and what to do
            instead), or the two networks differ by more than 1e-5 of the outputs'
            spread.
        HHError: tf_keras is not installed.

    Examples:
        >>> carried = hh_keras.export.carry(model, images)
        >>> found = carried.model.predict(images, verbose=0)
        >>> np.allclose(found, model(images), atol=1e-5)
        True
    """
    check_built(model)
    tape = Tape()
    inputs = _inputs(tape, model, image_shape)
    uses = iter(_uses(model))

    def step(*call):
        found = _step(tape, *call)
        counts = next(uses)
        tape.forked.update(id(t) for t, n in zip(found, counts, strict=True) if n > 1)
        return found

    outputs = interpret(model, inputs, step)
    carried = _model(model, inputs, outputs)
    difference = _difference(model, carried, images)
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{model.name!r} differs by {difference:.2g} of its outputs' spread when "
            f"carried to tf_keras, more than {TOLERANCE:g}; it is not trained for "
            'int8. Quantise after training instead: quantize="int8" with '
            "representative images (--formats=int8)."
        )
    return Carried(carried, tuple(tape.steps), difference)


def _inputs(tape, model, image_shape):
    keras2, _ = modules()
    shapes = [tuple(t.shape[1:]) for t in model.inputs]
    if image_shape is not None and len(shapes) == 1:
        shapes = [tuple(image_shape)]
    return [
        keras2.Input(shape, dtype=t.dtype, name=tape.name(t.name))
        for shape, t in zip(shapes, model.inputs, strict=True)
    ]


def _model(model, inputs, outputs):
    keras2, _ = modules()
    return keras2.Model(
        tf.nest.pack_sequence_as(structure(model)[0], inputs),
        tf.nest.pack_sequence_as(structure(model)[1], outputs),
        name=model.name,
    )


def _uses(model):
    """How many layers take each output of each call, the model's end counted too."""
    calls, uses = [], collections.Counter()

    def step(path, call, args, kwargs):
        flat = keras.tree.flatten((args, kwargs))
        uses.update(v for v in flat if isinstance(v, _Label))
        labels = [_Label((path, len(calls), i)) for i in range(len(call.outputs))]
        calls.append(labels)
        return labels

    inputs = [_Label(("input", i)) for i in range(len(model.inputs))]
    uses.update(interpret(model, inputs, step))
    return [[uses[label] for label in labels] for labels in calls]


@dataclasses.dataclass(frozen=True)
class _Label:
    """Stands for a tensor."""

    of: tuple


def _step(tape, path, call, args, kwargs):
    """One call of the Keras 3 graph; returns its outputs, a list."""
    op = call.op
    package, *_, name = op_key(type(op)).split(".")
    known = LAYERS if is_layer(op) else OPERATIONS
    carrier = known.get(name) if package == "keras" else None
    if carrier is None:
        raise refused(path, op, "it has no counterpart that int8 training knows")
    _check(path, op)
    try:
        if is_layer(op):
            found = carrier(tape, path, op, (*args, *kwargs.values())[0])
        else:
            found = carrier(tape, path, op, args, kwargs)
    except ModelError:
        raise
    except Exception as error:  # tf_keras lacks a setting that Keras 3 has
        reason = " ".join(str(error).split())[:200]
        raise refused(path, op, f"tf_keras says: {reason}") from error
    return keras.tree.flatten(found)


def _check(path, op):
    if getattr(op, "data_format", None) == "channels_first":
        raise refused(path, op, "its channels come first; int8 kernels want them last")
    if getattr(op, "compute_dtype", None) in ("float16", "bfloat16"):
        raise refused(path, op, f"it computes in {op.compute_dtype}, not in float32")


def _difference(model, carried, images):
    if images is None:
        rng = np.random.default_rng(0)
        shapes = [[2, *(n or 8 for n in t.shape[1:])] for t in carried.inputs]
        images = [rng.uniform(0, 255, s).astype("float32") for s in shapes]
    arrays = [tf.convert_to_tensor(a) for a in tf.nest.flatten(images)]
    wanted, found = (
        [
            np.asarray(t, "float64")
            for t in tf.nest.flatten(
                each(
                    tf.nest.pack_sequence_as(structure(each)[0], arrays), training=False
                )
            )
        ]
        for each in (model, carried)
    )
    worst = max(np.abs(a - b).max() for a, b in zip(wanted, found, strict=True))
    spread = max(np.ptp(a) for a in wanted)
    return float(worst / spread) if spread > 0 else float(worst)
