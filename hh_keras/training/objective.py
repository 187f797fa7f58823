"""What is learnt: the task's loss, alone or with a teacher's part."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from hh_keras.errors import HHError
from hh_keras.graph.heads import ends_in, gives_classes, known_outputs, output_names
from hh_keras.training import distillation
from hh_keras.training.features import images_of, matches, spread_over
from hh_keras.training.recipes import Recipe
from hh_keras.training.task import Task

# kd and sp are of the paper's code.
WEIGHTS = {"kd": 0.4, "sp": 3000.0, "match": 1.0}


def objective(
    recipe: Recipe,
    model: keras.Model,
    teacher: keras.Model | None = None,
    *,
    task: Task,
    images: Iterable = (),
) -> tuple[list, Callable]:
    """Returns the losses of a recipe.

    kd:  w · T² KL(teacher/T ‖ student/T) + (1 − w) · loss    (arXiv:1503.02531)
    sp:  w · Σ ‖G_teacher − G_student‖² / batch² + loss       (arXiv:1907.09682)
    match: w · (E(outputs) + v · mean E(features)) + (1 − w) · loss

    E is a squared error in parts of the teacher's variance, of logits where the outputs
    are probabilities; v is `recipe.feature_weight`, the features are those at the ends
    of blocks that a smaller network has kept, see `features`. G are similarities
    between the examples that one replica sees, of the outputs and of each pair of
    `recipe.distill_layers`; Σ is their mean.

    Of several outputs, kd is of those that are choices, each with its loss and weight,
    see `Task.choices`; the others learn from labels alone. E(outputs) is the mean over
    the outputs. Sample weights are for labels, not for what a teacher says.

    Args:
        recipe: a `Recipe`.
        model: the network to train.
        teacher: a trained network of the same images and outputs, made under the same
            strategy.
        task: a `hh_keras.training.Task`.
        images: a few batches of images, by which features are matched.

    Returns:
        `(features, f)`: tensors of the model's graph that `f(images, labels, outputs,
        sample_weight)` wants behind the model's outputs; f returns losses as
        `hh_keras.training.losses` has them.

    Raises:
        HHError: a teacher is missing, or is not wanted; or the recipe asks for what
            the task has no use for.
        ModelError: teacher and model do not fit, or a layer's name is unknown.
    """
    task.check_recipe(recipe)
    loss = task.losses(model, recipe.label_smoothing)
    if recipe.distill == "none":
        if teacher is not None:
            raise HHError(
                "a teacher was given, but distill is none; choose kd, sp or match."
            )
        return [], lambda images, *batch: loss(*batch)
    if teacher is None:
        raise HHError(f"distill is {recipe.distill}, but no teacher was given.")
    distillation.check_teacher(model, teacher)
    weight = recipe.distill_weight or WEIGHTS[recipe.distill]
    if recipe.distill == "kd":
        return [], _kd(task, loss, model, teacher, weight, recipe.temperature)
    if recipe.distill == "match":
        return _match(loss, model, teacher, weight, recipe.feature_weight, images)
    names = [name.strip() for name in recipe.distill_layers.split(",") if name.strip()]
    pairs = distillation.feature_pairs(model, teacher, names)
    theirs = keras.Model(images_of(teacher), [*teacher.outputs, *(t for _, t in pairs)])
    return [s for s, _ in pairs], _sp(loss, theirs, weight)


def choices(model: keras.Model, wanted: Any = None) -> list[int]:
    """Places of the outputs that are choices among classes, for `kd`.

    Args:
        model: the network.
        wanted: their names; None are those that end in softmax, and of a network with
            one output that one.

    Raises:
        HHError: there are none, or the model has no such output.
    """
    names, outputs = output_names(model), known_outputs(model)
    if wanted is not None:
        unknown = [name for name in wanted if name not in names]
        found = [k for k, name in enumerate(names) if name in wanted]
    else:
        unknown = []
        ends = [gives_classes(t) and ends_in(t) == "softmax" for t in outputs]
        found = [k for k, softmax in enumerate(ends) if softmax]
        if len(outputs) == 1 and outputs[0].shape[-1] != 1:
            found = [k for k, t in enumerate(outputs) if ends_in(t) != "sigmoid"]
    if unknown or not found:
        what = f"the model has no output {unknown[0]!r}" if unknown else "none is one"
        raise HHError(
            f"distill=kd is for outputs that are choices among classes, and {what}: "
            f"outputs are {', '.join(names)}. Name them in Task.choices, or take match."
        )
    return found


def _kd(task, loss, model, teacher, weight, temperature):
    names, scale = output_names(model), task.scale(model)
    chosen = {
        k: {
            "student_logits": ends_in(known_outputs(model)[k]) is None,
            "teacher_logits": ends_in(known_outputs(teacher)[k]) is None,
        }
        for k in choices(model, task.choices)
    }

    def losses(images, labels, outputs, sample_weight=None):
        softened = keras.tree.flatten(teacher(images, training=False))
        found = loss(labels, outputs, sample_weight)
        taught = {
            k: distillation.kd_loss(outputs[k], softened[k], temperature, **logits)
            for k, logits in chosen.items()
        }
        if len(found) == 1:  # one loss for all outputs
            both = weight * _added(taught.values()) + (1 - weight) * found["loss"]
            return {"loss": both}
        parts = []
        for k, name in enumerate(names):
            part = found.get(f"{name}_loss")
            if k in taught:
                part = 0.0 if part is None else (1 - weight) * part
                part += weight * taught[k]
            if part is not None:
                parts.append(scale[name] * part)
        return {**found, "loss": _added(parts)}

    return losses


def _added(parts):
    first, *rest = parts
    return tf.add_n([first, *rest]) if rest else first


def _match(loss, model, teacher, weight, feature_weight, images):
    count = len(known_outputs(model))
    images = list(images) if feature_weight else images
    every = matches(model, teacher, images if feature_weight else ())
    every[:count] = spread_over(every[:count], teacher, images)
    found = every[count:]
    wanted = keras.Model(images_of(teacher), [m.teacher for m in every])

    def losses(images, labels, ours, sample_weight=None):
        theirs = keras.tree.flatten(wanted(images, training=False))
        pairs = list(zip(every, ours, theirs, strict=True))
        errors = [
            match.error(*pair)
            for match, *pair in pairs[:count]
            if match.student.dtype.startswith(("float", "bfloat"))
        ]
        taught = _added(errors) / len(errors) if len(errors) > 1 else errors[0]
        for match, *pair in pairs[count:]:
            taught += feature_weight / len(found) * match.error(*pair)
        if weight == 1:
            return {"loss": taught}  # labels play no part
        learnt = loss(labels, ours, sample_weight)
        return {**learnt, "loss": weight * taught + (1 - weight) * learnt["loss"]}

    return [match.student for match in found], losses


def _sp(loss, teacher, weight):
    def losses(images, labels, outputs, sample_weight=None):
        theirs = keras.tree.flatten(teacher(images, training=False))
        parts = [distillation.similarity_loss(*pair) for pair in zip(outputs, theirs)]
        found = loss(labels, outputs, sample_weight)
        # A scalar; every example carries it, so that replicas weigh by their share.
        total = found["loss"] + weight * sum(parts) / len(parts)
        return {**found, "loss": total}

    return losses
