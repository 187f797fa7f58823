"""Image classification: cross-entropy on integer labels."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from hh_keras.errors import DataError, ModelError
from hh_keras.goal import Goal
from hh_keras.graph.heads import from_logits, single_output
from hh_keras.report import numbers
from hh_keras.tasks.classification.evaluation import evaluate
from hh_keras.training.task import Task


def loss(
    model: keras.Model, label_smoothing: float = 0.0, logits: bool | None = None
) -> Callable:
    """Returns the cross-entropy that fits a model's head.

    Args:
        model: the classifier; its last activation tells logits from
            probabilities.
        label_smoothing: share of the target spread evenly over the classes.
        logits: whether the outputs are logits; None asks the model.

    Returns:
        `f(labels, outputs) → (batch,)`, with integer labels `(batch,)` or shares of
        the classes `(batch, classes)`, and outputs `(batch, classes)`.
    """
    logits = from_logits(model) if logits is None else logits

    def crossentropy(labels, outputs):
        shares = len(labels.shape) == 2 and labels.shape[-1] == outputs.shape[-1]
        if not shares:
            labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
        if not (shares or label_smoothing):
            return keras.losses.sparse_categorical_crossentropy(
                labels, outputs, from_logits=logits
            )
        if not shares:  # Keras smooths shares only
            labels = ops.one_hot(labels, outputs.shape[-1], dtype=outputs.dtype)
        return keras.losses.categorical_crossentropy(
            labels, outputs, from_logits=logits, label_smoothing=label_smoothing
        )

    return crossentropy


def accuracy(labels: Any, outputs: Any) -> Any:
    """Whether the largest output is the label's, float32 `(batch,)`.

    Args:
        labels, outputs: as for `loss`; of shares, the largest counts.
    """
    if len(labels.shape) == 2 and labels.shape[-1] == outputs.shape[-1]:
        labels = ops.argmax(labels, axis=-1)
    hits = ops.cast(ops.reshape(labels, (-1,)), "int32") == ops.cast(
        ops.argmax(outputs, axis=-1), "int32"
    )
    return ops.cast(hits, "float32")


def check_head(model: keras.Model, num_classes: int) -> None:
    """Raises unless a model's one output has one unit per class.

    Args:
        model: the classifier.
        num_classes: classes of the data set.

    Raises:
        ModelError: several outputs, or an output that is not `(batch, units)`.
        DataError: the units are not as many as the classes.
    """
    shape = tuple(single_output(model).shape)
    if len(shape) != 2:
        raise ModelError(
            f"model {model.name!r} ends in an output of shape {shape}; a classifier "
            "must end in (batch, classes). Add pooling and a Dense layer."
        )
    if shape[-1] != num_classes:
        raise DataError(
            f"labels that do not match the head: layer "
            f"{single_output(model)._keras_history[0].name!r} of model "
            f"{model.name!r} has {shape[-1]} units, but the data set has "
            f"{num_classes} classes. Give the model {num_classes} outputs, or "
            "choose the data set it was made for."
        )


GOAL = Goal(
    key="accuracy",
    label="accuracy",
    write=numbers.percent,
    write_change=numbers.points,
    plain=lambda share: f"{share:.2%}",
    plain_change=lambda change: f"{100 * change:+.2f} points",
    axis=lambda share, _: f"{100 * share:.4g} %",
    more="more accurate than",
    less="less accurate than",
    same="as accurate as",
    about="Accuracy and loss: validation images. MACs: multiply-accumulates for one "
    "image. Latency: the .tflite file, one image, median (10th to 90th percentile).",
    besides=(("top-5 accuracy", "accuracy_top5", numbers.percent, numbers.points),),
    classes=True,
)

TASK = Task(
    name="classify",
    noun="classifier",
    loss=loss,
    measures={"accuracy": accuracy},
    goal=GOAL,
    evaluate=evaluate,
    check=lambda model, data: check_head(model, len(data.class_names)),
    distills=("none", "kd", "sp", "match"),
)
