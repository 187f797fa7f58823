"""Loss and accuracy of a classifier on labelled images."""

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import DataError, HHError
from hh_keras.tasks import classification


def evaluate(model, dataset):
    """Evaluates a classifier without changing it, not even its compile state.

    Args:
        model: a Keras classifier `(batch, h, w, c) -> (batch, classes)`.
        dataset: tf.data dataset of (images, integer labels) batches; with several
            cuts of each image, `(batch, cuts, h, w, c)`, see `score_outputs`.

    Returns:
        Dict of loss (mean cross-entropy in nats), accuracy and, with five classes
        or more, accuracy_top5, each a float.

    Raises:
        DataError: the dataset is empty, or a label has no unit in the head.
    """
    images = tf.TensorSpec([None, *model.inputs[0].shape[1:]], tf.float32)
    forward = tf.function(
        lambda batch: model(batch, training=False), input_signature=[images]
    )

    def run(batch):
        return keras.tree.flatten(forward(tf.cast(batch, tf.float32)))[0].numpy()

    logits = classification.from_logits(model)
    return score_outputs(*outputs_and_labels(run, dataset), from_logits=logits)


def outputs_and_labels(run, dataset):
    """Runs a classifier over a data set.

    Args:
        run: function of images `(n, h, w, c)` that returns outputs `(n, classes)`.
        dataset: as for `evaluate`.

    Returns:
        Outputs `(examples, classes)`, or `(examples, cuts, classes)`, and int labels
        `(examples,)`, arrays.

    Raises:
        DataError: the dataset is empty.
    """
    outputs, labels = [], []
    for images, y in dataset:
        images = images.numpy()
        if not len(images):
            continue
        found = run(images.reshape(-1, *images.shape[-3:]))
        outputs.append(found.reshape(*images.shape[:-3], -1))
        labels.append(y.numpy().reshape(-1))
    if not labels:
        raise DataError("evaluation: the data set holds not a single example.")
    return np.concatenate(outputs), np.concatenate(labels)


def score_outputs(outputs, labels, from_logits=None):
    """Scores a classifier's outputs, wherever they were computed.

    Args:
        outputs: float array `(examples, classes)`, logits or probabilities; of
            `(examples, cuts, classes)`, the probabilities are averaged over the cuts.
        labels: int array `(examples,)`.
        from_logits: which of the two the outputs are; None finds out: rows of
            numbers in [0, 1] that sum to 1 are probabilities.

    Returns:
        Dict as of `evaluate`.

    Raises:
        DataError: a label has no unit in the head.
        HHError: an output is NaN or infinite.
    """
    labels = np.asarray(labels).reshape(-1)
    outputs, from_logits = _one_per_example(outputs, labels, from_logits)
    target = outputs[np.arange(len(labels)), labels]
    if from_logits:
        peak = outputs.max(-1)
        losses = peak + np.log(np.exp(outputs - peak[:, None]).sum(-1)) - target
    else:
        # Keras clips probabilities in the same way.
        losses = -np.log(np.clip(target / outputs.sum(-1), 1e-7, 1.0))
    # Ties go to the lower class, as argmax does: equal outputs are no success.
    tied = (outputs == target[:, None]) & (
        np.arange(outputs.shape[-1]) < labels[:, None]
    )
    rank = ((outputs > target[:, None]) | tied).sum(-1)
    scores = {"loss": float(losses.mean()), "accuracy": float((rank < 1).mean())}
    if outputs.shape[-1] >= 5:
        scores["accuracy_top5"] = float((rank < 5).mean())
    return scores


def confusion(outputs, labels, from_logits=None):
    """Counts which class was taken for which.

    Args:
        outputs, labels, from_logits: as for `score_outputs`.

    Returns:
        int array `(classes, classes)`: rows are labels, columns what the classifier
        says. The diagonal over the sums of the rows is the accuracy of each class.

    Raises:
        What `score_outputs` raises.
    """
    labels = np.asarray(labels).reshape(-1)
    outputs, _ = _one_per_example(outputs, labels, from_logits)
    counts = np.zeros((outputs.shape[-1],) * 2, int)
    np.add.at(counts, (labels, outputs.argmax(-1)), 1)
    return counts


def _one_per_example(outputs, labels, from_logits):
    """Checked outputs `(examples, classes)`, and whether they are logits."""
    outputs = np.asarray(outputs, "float64")
    classes = outputs.shape[-1]
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels that do not match the head: labels go from {labels.min()} to "
            f"{labels.max()}, the model has {classes} outputs."
        )
    if not np.isfinite(outputs).all():
        raise HHError(
            "evaluation: the model's outputs are not all finite (NaN or infinite "
            "weights); train it again with a lower learning rate."
        )
    if from_logits is None:
        sums_to_one = np.allclose(outputs.sum(-1), 1, atol=1e-3)
        from_logits = not (sums_to_one and (outputs >= 0).all())
    if outputs.ndim == 2:
        return outputs, from_logits
    if from_logits:
        outputs = np.exp(outputs - outputs.max(-1, keepdims=True))
        outputs /= outputs.sum(-1, keepdims=True)
    return outputs.mean(1), False
