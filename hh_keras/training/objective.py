"""What is learnt: the task's loss, alone or with a teacher's part."""

from collections.abc import Callable

import keras

from hh_keras.errors import HHError
from hh_keras.graph.heads import from_logits
from hh_keras.training import distillation
from hh_keras.training.recipes import Recipe
from hh_keras.training.task import Task

WEIGHTS = {"kd": 0.4, "sp": 3000.0}  # of the paper's code


def objective(
    recipe: Recipe,
    model: keras.Model,
    teacher: keras.Model | None = None,
    *,
    task: Task,
) -> tuple[list, Callable]:
    """Returns the losses of a recipe.

    kd:  w · T² KL(teacher/T ‖ student/T) + (1 − w) · loss    (arXiv:1503.02531)
    sp:  w · Σ ‖G_teacher − G_student‖² / batch² + loss       (arXiv:1907.09682)

    G are similarities between the examples that one replica sees, of the outputs and of
    each pair of `recipe.distill_layers`; Σ is their mean.

    Args:
        recipe: a `Recipe`.
        model: the network to train.
        teacher: a trained network of the same images and outputs, made under the same
            strategy.
        task: a `hh_keras.training.Task`.

    Returns:
        `(features, f)`: tensors of the model's graph that `f(images, labels, outputs)
        → (batch,)` wants behind the model's output.

    Raises:
        HHError: a teacher is missing, or is not wanted; or the recipe asks for what
            the task has no use for.
        ModelError: teacher and model do not fit, or a layer's name is unknown.
    """
    task.check_recipe(recipe)
    loss = task.loss(model, recipe.label_smoothing)
    if recipe.distill == "none":
        if teacher is not None:
            raise HHError("a teacher was given, but distill is none; choose kd or sp.")
        return [], lambda images, labels, outputs: loss(labels, outputs[0])
    if teacher is None:
        raise HHError(f"distill is {recipe.distill}, but no teacher was given.")
    distillation.check_teacher(model, teacher)
    weight = recipe.distill_weight or WEIGHTS[recipe.distill]
    if recipe.distill == "kd":
        return [], _kd(loss, model, teacher, weight, recipe.temperature)
    names = [name.strip() for name in recipe.distill_layers.split(",") if name.strip()]
    pairs = distillation.feature_pairs(model, teacher, names)
    theirs = keras.Model(teacher.inputs, [teacher.outputs[0], *(t for _, t in pairs)])
    return [s for s, _ in pairs], _sp(loss, theirs, weight)


def _kd(loss, model, teacher, weight, temperature):
    logits = {
        "student_logits": from_logits(model),
        "teacher_logits": from_logits(teacher),
    }

    def losses(images, labels, outputs):
        softened = teacher(images, training=False)
        taught = distillation.kd_loss(outputs[0], softened, temperature, **logits)
        return weight * taught + (1 - weight) * loss(labels, outputs[0])

    return losses


def _sp(loss, teacher, weight):
    def losses(images, labels, outputs):
        theirs = keras.tree.flatten(teacher(images, training=False))
        parts = [distillation.similarity_loss(*pair) for pair in zip(outputs, theirs)]
        # A scalar; every example carries it, so that replicas weigh by their share.
        return loss(labels, outputs[0]) + weight * sum(parts) / len(parts)

    return losses
