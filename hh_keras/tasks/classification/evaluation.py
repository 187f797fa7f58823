"""Loss and accuracy of a classifier on labelled images."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import DataError, HHError, ModelError
from hh_keras.graph import heads


def evaluate(model: keras.Model, dataset: tf.data.Dataset) -> dict[str, float]:
    """Evaluates a classifier without changing it, not even its compile state.

    Args:
        model: a Keras classifier `(batch, h, w, c) -> (batch, classes)`.
        dataset: tf.data dataset of (images, integer labels) batches; with several
            cuts of each image, `(batch, cuts, h, w, c)`, see `averaged`.

    Returns:
        Dict of loss (mean cross-entropy in nats), accuracy and, with five classes
        or more, accuracy_top5, each a float.

    Raises:
        DataError: the dataset is empty, or a label has no unit in the head.
        HHError: an output is NaN or infinite.
    """
    images = tf.TensorSpec([None, *model.inputs[0].shape[1:]], tf.float32)
    forward = tf.function(
        lambda batch: model(batch, training=False), input_signature=[images]
    )

    def run(batch):
        return keras.tree.flatten(forward(tf.cast(batch, tf.float32)))[0].numpy()

    logits = heads.from_logits(model)
    return score_outputs(*outputs_and_labels(run, dataset, logits), logits)


def outputs_and_labels(
    run: Callable, dataset: tf.data.Dataset, from_logits: bool | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Runs a classifier over a data set.

    Args:
        run: function of images `(n, h, w, c)` that returns outputs `(n, classes)`.
        dataset: as for `evaluate`. Of images in several cuts, the outputs are
            `averaged`.
        from_logits: as for `score_outputs`.

    Returns:
        Outputs `(examples, classes)` and int labels `(examples,)`, arrays.

    Raises:
        DataError: the dataset is empty.
        ModelError: the outputs have another shape.
        HHError: an output of several cuts is NaN or infinite.
    """
    outputs, labels = [], []
    for images, y in dataset:
        images = images.numpy()
        if not len(images):
            continue
        if images.ndim == 4:
            outputs.append(_checked(run(images)))
        else:  # one cut at a time: it takes no more memory than without cuts
            each = [_checked(run(cut)) for cut in np.moveaxis(images, 1, 0)]
            cuts = np.stack(each, 1)
            if from_logits is None:
                from_logits = _are_logits(cuts)
            outputs.append(averaged(cuts, from_logits))
        labels.append(y.numpy().reshape(-1))
    if not labels:
        raise DataError("evaluation: the data set holds not a single example.")
    return np.concatenate(outputs), np.concatenate(labels)


def _checked(outputs):
    if not isinstance(outputs, np.ndarray) or outputs.ndim != 2:
        shapes = [np.shape(each) for each in keras.tree.flatten(outputs)]
        raise ModelError(
            f"the model puts out {', '.join(map(str, shapes))}; a classifier must put "
            "out one array (images, classes)."
        )
    return outputs


def averaged(outputs: np.ndarray, from_logits: bool) -> np.ndarray:
    """The mean probabilities over the cuts of each image.

    Args:
        outputs: float array `(examples, cuts, classes)`.
        from_logits: whether the outputs are logits; otherwise they are probabilities.

    Returns:
        float64 `(examples, classes)` of the same kind: of logits, the logarithms of the
        mean probabilities.

    Raises:
        HHError: an output is NaN or infinite.
    """
    outputs = np.asarray(outputs, "float64")
    _check_finite(outputs)
    if not from_logits:
        return outputs.mean(1)
    logs = outputs - _log_sum_exp(outputs, -1, keepdims=True)
    return _log_sum_exp(logs, 1) - np.log(outputs.shape[1])


def _log_sum_exp(values, axis, keepdims=False):
    peak = values.max(axis, keepdims=True)
    sums = peak + np.log(np.exp(values - peak).sum(axis, keepdims=True))
    return sums if keepdims else sums.squeeze(axis)


def score_outputs(
    outputs: np.ndarray, labels: np.ndarray, from_logits: bool | None = None
) -> dict[str, float]:
    """Scores a classifier's outputs, wherever they were computed.

    Args:
        outputs: float array `(examples, classes)`, logits or probabilities; of
            `(examples, cuts, classes)`, they are `averaged` first.
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
        losses = _log_sum_exp(outputs, -1) - target
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


def confusion(
    outputs: np.ndarray, labels: np.ndarray, from_logits: bool | None = None
) -> np.ndarray:
    """Counts which class was taken for which.

    Args:
        outputs, labels, from_logits: as for `score_outputs`.

    Returns:
        int array `(classes, classes)`: rows are labels, columns what the classifier
        says.

    Raises:
        What `score_outputs` raises.
    """
    labels = np.asarray(labels).reshape(-1)
    outputs, _ = _one_per_example(outputs, labels, from_logits)
    counts = np.zeros((outputs.shape[-1],) * 2, int)
    np.add.at(counts, (labels, outputs.argmax(-1)), 1)
    return counts


def accuracy_by_class(counts: np.ndarray) -> np.ndarray:
    """The share of each class that is classified right.

    Args:
        counts: what `confusion` gave.

    Returns:
        Float array `(classes,)`, NaN for a class without examples.
    """
    sizes = counts.sum(1)
    unknown = np.full(len(counts), np.nan)
    return np.divide(np.diag(counts), sizes, out=unknown, where=sizes > 0)


def _one_per_example(outputs, labels, from_logits):
    """Checked float64 outputs `(examples, classes)`, and whether they are logits."""
    outputs = np.asarray(outputs, "float64")
    classes = outputs.shape[-1]
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels that do not match the head: labels go from {labels.min()} to "
            f"{labels.max()}, the model has {classes} outputs."
        )
    _check_finite(outputs)
    if from_logits is None:
        from_logits = _are_logits(outputs)
    if outputs.ndim == 3:
        outputs = averaged(outputs, from_logits)
    return outputs, from_logits


def _check_finite(outputs):
    if not np.isfinite(outputs).all():
        raise HHError(
            "evaluation: the model's outputs are not all finite (NaN or infinite "
            "weights); train it again with a lower learning rate."
        )


def _are_logits(outputs):
    # Of int8 files each is rounded to 1 / 256.
    steps = np.allclose(outputs * 256, np.round(outputs * 256), atol=1e-3)
    room = 1e-3 + steps * outputs.shape[-1] / 512
    sums_to_one = np.allclose(outputs.sum(-1), 1, atol=room)
    return not (sums_to_one and (outputs >= 0).all())
