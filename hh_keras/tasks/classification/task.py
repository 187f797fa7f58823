"""Image classification: cross-entropy on integer labels."""

import keras
from keras import ops

from hh_keras.errors import DataError, ModelError
from hh_keras.training.task import Task, single_output

_NORMALISED = ("softmax", "sigmoid")


def from_logits(model):
    """Whether a classifier ends in logits rather than in probabilities.

    The last operation decides: a layer with a softmax or sigmoid activation, or
    such a layer itself, makes probabilities. Linear activations and reshapes
    after it are looked through, nested models are looked into.

    Args:
        model: a functional or sequential Keras model with one output.

    Returns:
        False for a model that ends in softmax or sigmoid, True for all others.
    """
    return _ends_in_logits(single_output(model))


def _ends_in_logits(tensor):
    operation, node_index, _ = tensor._keras_history
    if isinstance(operation, keras.Model):
        return from_logits(operation)
    name = type(operation).__name__.lower()
    activation = getattr(operation, "activation", None)
    activation_name = getattr(activation, "__name__", type(activation).__name__).lower()
    if name in _NORMALISED or activation_name in _NORMALISED:
        return False
    passes = name == "activation" and activation_name == "linear"
    if passes or name in ("flatten", "reshape", "identity", "dropout"):
        return _ends_in_logits(operation._inbound_nodes[node_index].input_tensors[0])
    return True


def loss(model, label_smoothing=0.0, logits=None):
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


def accuracy(labels, outputs):
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


def check_head(model, num_classes):
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


def _evaluate(model, dataset):
    from hh_keras.tasks.classification.evaluation import (
        evaluate,  # which needs this module
    )

    return evaluate(model, dataset)


TASK = Task(
    name="classify",
    noun="classifier",
    loss=loss,
    measures={"accuracy": accuracy},
    goal="accuracy",
    evaluate=_evaluate,
    check=lambda model, data: check_head(model, len(data.class_names)),
    distills=("none", "kd", "sp"),
)
