"""What a teacher's outputs and features add to a loss."""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from hh_keras.errors import ModelError
from hh_keras.graph.calls import calls
from hh_keras.graph.heads import known_outputs
from hh_keras.suggestions import did_you_mean


def kd_loss(
    student: Any,
    teacher: Any,
    temperature: float = 4.0,
    student_logits: bool = True,
    teacher_logits: bool = True,
) -> tf.Tensor:
    """Knowledge distillation: T² · KL(softmax(teacher / T) ‖ softmax(student / T)).

    Args:
        student, teacher: outputs `(batch, classes)`, logits or probabilities. The
            logarithm of probabilities serves as logits.
        temperature: T, above 0.
        student_logits, teacher_logits: which of the two they are.

    Returns:
        float32 `(batch,)`.

    Reference: Hinton et al., arXiv:1503.02531.
    """
    ours = tf.nn.log_softmax(_logits(student, student_logits) / temperature)
    theirs = tf.nn.log_softmax(_logits(teacher, teacher_logits) / temperature)
    divergence = tf.reduce_sum(tf.exp(theirs) * (theirs - ours), -1)
    return temperature**2 * divergence


def _logits(outputs, are_logits):
    outputs = tf.cast(outputs, tf.float32)
    # Keras clips probabilities in the same way.
    return outputs if are_logits else tf.math.log(tf.clip_by_value(outputs, 1e-7, 1.0))


def similarity_loss(student: Any, teacher: Any) -> tf.Tensor:
    """Similarity-preserving distillation: ‖G_student − G_teacher‖² / batch².

    G = A Aᵀ of features flattened to `(batch, n)`, with rows of length 1: how similar
    every two examples of the batch are.

    Args:
        student, teacher: features `(batch, ...)`; beyond the batch, shapes may differ.

    Returns:
        A float32 scalar.

    Reference: Tung and Mori, arXiv:1907.09682.
    """
    return tf.reduce_mean(tf.square(_similarities(student) - _similarities(teacher)))


def _similarities(features):
    size = tf.shape(features)[0]
    flat = tf.reshape(tf.cast(features, tf.float32), [size, -1])
    products = tf.matmul(flat, flat, transpose_b=True)
    # The default epsilon would make faint features count less.
    return tf.math.l2_normalize(products, axis=1, epsilon=1e-24)


def feature_pairs(
    student: keras.Model, teacher: keras.Model, names: Iterable[str]
) -> list[tuple]:
    """Finds the tensors whose similarities are to be compared.

    Args:
        student, teacher: functional models.
        names: list of "layer", or "student's layer=teacher's layer".

    Returns:
        List of (student's tensor, teacher's tensor).

    Raises:
        ModelError: no layer of that name; the message gives the nearest. Layers
            within a nested model have no name here, the nested model has.
    """
    pairs = []
    for name in names:
        ours, _, theirs = name.partition("=")
        pairs.append((_output(student, ours), _output(teacher, theirs or ours)))
    return pairs


def _output(model, name):
    # `layer.output` may belong to another model that the layer is also part of.
    found = {call.op.name: call.outputs for call in calls(model)}
    if name not in found:
        hint = did_you_mean(name, found)
        raise ModelError(f"model {model.name!r} has no layer {name!r}.{hint}")
    if len(found[name]) != 1:
        raise ModelError(
            f"layer {name!r} of model {model.name!r} has {len(found[name])} outputs; "
            "name a layer with one."
        )
    return found[name][0]


def check_teacher(student: keras.Model, teacher: keras.Model) -> None:
    """Raises unless a teacher takes the student's images and knows its classes.

    Raises:
        ModelError: the shapes differ; the message gives both.
    """
    for what, ours, theirs in (
        ("takes images", student.inputs, teacher.inputs),
        ("gives outputs", known_outputs(student), known_outputs(teacher)),
    ):
        shapes = [[tuple(x.shape[1:]) for x in each] for each in (ours, theirs)]
        alike = len(ours) == len(theirs) and all(map(_fits, *shapes))
        if not alike:
            own, its = (" and ".join(map(str, each)) for each in shapes)
            raise ModelError(
                f"the teacher {teacher.name!r} {what} of shape {its}, the network "
                f"{own}; take a teacher trained on the same data at the same size."
            )


def _fits(ours, theirs):
    pairs = zip(ours, theirs)
    return len(ours) == len(theirs) and all(a == b or b is None for a, b in pairs)
