"""Training a network with the rounding of int8 in it."""

import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from hh_keras.data import ImageData
from hh_keras.errors import DataError, HHError
from hh_keras.export.quantizing.carrying import QuantizationAware, carry
from hh_keras.export.quantizing.legacy import modules
from hh_keras.export.quantizing.rounding import ranges, rounding
from hh_keras.graph.heads import from_logits
from hh_keras.tasks.classification.task import accuracy, loss
from hh_keras.training.layerwise import changed
from hh_keras.training.recipes import Recipe
from hh_keras.training.strides import around_fault

_OF_THE_RECIPE = 0.01  # its learning rate, if no other is given


def quantization_aware(
    model: keras.Model,
    data: ImageData,
    recipe: Recipe | None = None,
    *,
    epochs: int = 2,
    learning_rate: float | None = None,
    calibration_images: int = 256,
    tell: Callable[[dict], None] | None = None,
) -> QuantizationAware:
    """Trains a classifier so that it loses little when it becomes int8.

    The network is carried to tf_keras (see `carry`), the ranges of its tensors are read
    from training images, and it is trained on with every tensor rounded as the int8
    file will round it: SGD with momentum and without weight decay, the learning rate
    falling to 0 by a cosine. Gradients pass through the rounding as if it were not
    there. The best epoch is not sought: the last one is kept.

    Args:
        model: a trained Keras 3 classifier; it is not changed.
        data: a `hh_keras.data.ImageData`.
        recipe: the `hh_keras.training.Recipe` it was trained by, for label smoothing,
            momentum and learning rate; None is the default one.
        epochs: passes over the training data; 0 only reads the ranges.
        learning_rate: at the start; None is a hundredth of the recipe's.
        calibration_images: how many training images the ranges are read from.
        tell: function of one dict, called after each epoch with its row of the history.

    Returns:
        A `QuantizationAware`, for `tflite(..., quantize="int8")`.

    Raises:
        ModelError: a layer cannot be trained for int8; the message names it.
        HHError: tensorflow-model-optimization is not installed, or the loss is no
            longer finite.
        DataError: there are no training images.

    Reference:
        Jacob et al., Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference, CVPR 2018, arXiv:1712.05877.
    """
    recipe = recipe or Recipe()
    if epochs < 0:
        raise HHError(f"epochs={epochs}: it must be at least 0.")
    examples = _examples(data, calibration_images)
    carried = carry(model, examples[:8], data.image_shape)
    batches = [[examples[i : i + 32]] for i in range(0, len(examples), 32)]
    variables = carried.model.trainable_variables
    learnt, values, settle = rounding(carried, ranges(carried, batches))
    logits = from_logits(model)
    taught, of_logits = _before_softmax(carried, learnt, values, logits)
    if learning_rate is None:
        learning_rate = _OF_THE_RECIPE * recipe.learning_rate
    steps = -(-data.num_train // recipe.batch_size) * max(epochs, 1)
    step = _training_step(
        taught,
        variables,
        loss(model, recipe.label_smoothing, of_logits),
        _optimizer(learning_rate, steps, recipe.momentum),
    )
    history = []
    keras2, _ = modules()
    with changed(around_fault(taught._flatten_layers(), keras2.layers.Conv2D)):
        for epoch in range(1, epochs + 1):
            history.append(_epoch(step, data, epoch))
            if tell is not None:
                tell(history[-1])
    settle()
    return QuantizationAware(learnt, logits, carried.difference, history)


def _before_softmax(carried, learnt, values, logits):
    """What the loss sees: logits, where a softmax makes probabilities of them.

    A probability that is rounded to 0 has an endless loss, and teaches nothing.

    Returns:
        A `tf_keras.Model`, and whether it puts out logits.
    """
    (last,) = [s for s in carried.steps if s.output is carried.model.outputs[0]]
    if getattr(getattr(last.layer, "activation", None), "__name__", "") != "softmax":
        return learnt, logits
    keras2, _ = modules()
    return keras2.Model(learnt.inputs, values[id(last.inputs[0])]), True


def _examples(data, count):
    """The first images of the search set, which is not augmented."""
    found, total = [], 0
    for images, _ in data.search:
        found.append(np.asarray(images, "float32"))
        total += len(images)
        if total >= count:
            break
    if not total:
        raise DataError(f"{data.name} has no training images.")
    return np.concatenate(found)[:count]


def _optimizer(learning_rate, steps, momentum):
    keras2, _ = modules()
    schedule = keras2.optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras2.optimizers.SGD(schedule, momentum=momentum)


def _training_step(model, variables, loss, optimizer):
    """A function of a batch that returns the sums of losses and of hits."""
    optimizer.build(variables)

    @tf.function(autograph=False, reduce_retracing=True)
    def step(images, labels):
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(model(images, training=True))[0]
            losses = loss(labels, outputs)
            mean = tf.reduce_mean(losses)
        gradients = tape.gradient(mean, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        hits = accuracy(labels, outputs)
        return tf.reduce_sum(losses), tf.reduce_sum(hits)

    return step


def _epoch(step, data, number):
    """Trains for an epoch; returns its row of the history."""
    started = time.perf_counter()
    examples, loss, hits = 0, 0.0, 0.0
    for images, labels in data.epoch(number):
        losses, correct = step(tf.cast(images, tf.float32), labels)
        loss, hits, examples = (
            loss + float(losses), hits + float(correct), examples + len(images),
        )  # fmt: skip
        if not np.isfinite(loss):
            raise HHError(
                f"the loss is {loss} in epoch {number} of the training for int8; give "
                "a smaller learning rate (--qat_learning_rate)."
            )
    return {
        "epoch": number,
        "loss": loss / max(examples, 1),
        "accuracy": hits / max(examples, 1),
        "seconds": round(time.perf_counter() - started, 2),
    }
