"""Loss and accuracy of a classifier on labelled images."""

import numpy as np
import tensorflow as tf

from hh_keras.errors import DataError, HHError
from hh_keras.tasks import classification


def evaluate(model, dataset):
    """Evaluates a classifier without changing it, not even its compile state.

    Args:
        model: a Keras classifier `(batch, h, w, c) -> (batch, classes)`.
        dataset: tf.data dataset of (images, integer labels) batches.

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
    outputs, labels = [], []
    for x, y in dataset:
        outputs.append(forward(tf.cast(x, tf.float32)).numpy())
        labels.append(y.numpy())
    if not labels:
        raise DataError("evaluation: the data set holds not a single example.")
    return score_outputs(
        np.concatenate(outputs),
        np.concatenate(labels),
        from_logits=classification.from_logits(model),
    )


def score_outputs(outputs, labels, from_logits=None):
    """Scores a classifier's outputs, wherever they were computed.

    Args:
        outputs: float array `(examples, classes)`, logits or probabilities.
        labels: int array `(examples,)`.
        from_logits: which of the two the outputs are; None finds out: rows of
            numbers in [0, 1] that sum to 1 are probabilities.

    Returns:
        Dict as of `evaluate`.

    Raises:
        DataError: a label has no unit in the head.
        HHError: an output is NaN or infinite.
    """
    outputs = np.asarray(outputs, "float64")
    labels = np.asarray(labels).reshape(-1)
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
    target = outputs[np.arange(len(labels)), labels]
    if from_logits is None:
        sums_to_one = np.allclose(outputs.sum(-1), 1, atol=1e-3)
        from_logits = not (sums_to_one and (outputs >= 0).all())
    if from_logits:
        peak = outputs.max(-1)
        losses = peak + np.log(np.exp(outputs - peak[:, None]).sum(-1)) - target
    else:
        # Keras clips probabilities in the same way.
        losses = -np.log(np.clip(target / outputs.sum(-1), 1e-7, 1.0))
    # Ties go to the lower class, as argmax does: equal outputs are no success.
    tied = (outputs == target[:, None]) & (np.arange(classes) < labels[:, None])
    rank = ((outputs > target[:, None]) | tied).sum(-1)
    scores = {"loss": float(losses.mean()), "accuracy": float((rank < 1).mean())}
    if classes >= 5:
        scores["accuracy_top5"] = float((rank < 5).mean())
    return scores
