"""What is learnt: the task's loss, alone or with a teacher's part."""

from collections.abc import Callable, Iterable

import keras

from hh_keras.errors import HHError
from hh_keras.graph.heads import from_logits
from hh_keras.training import distillation
from hh_keras.training.features import images_of, matches
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

    Args:
        recipe: a `Recipe`.
        model: the network to train.
        teacher: a trained network of the same images and outputs, made under the same
            strategy.
        task: a `hh_keras.training.Task`.
        images: a few batches of images, by which features are matched.

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
            raise HHError(
                "a teacher was given, but distill is none; choose kd, sp or match."
            )
        return [], lambda images, labels, outputs: loss(labels, outputs[0])
    if teacher is None:
        raise HHError(f"distill is {recipe.distill}, but no teacher was given.")
    distillation.check_teacher(model, teacher)
    weight = recipe.distill_weight or WEIGHTS[recipe.distill]
    if recipe.distill == "kd":
        return [], _kd(loss, model, teacher, weight, recipe.temperature)
    if recipe.distill == "match":
        return _match(loss, model, teacher, weight, recipe.feature_weight, images)
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


def _match(loss, model, teacher, weight, feature_weight, images):
    outputs, *found = matches(model, teacher, images if feature_weight else ())
    wanted = keras.Model(images_of(teacher), [m.teacher for m in (outputs, *found)])

    def losses(images, labels, ours):
        theirs = keras.tree.flatten(wanted(images, training=False))
        taught = outputs.error(ours[0], theirs[0])
        for match, *pair in zip(found, ours[1:], theirs[1:], strict=True):
            taught += feature_weight / len(found) * match.error(*pair)
        if weight == 1:
            return taught  # labels play no part
        return weight * taught + (1 - weight) * loss(labels, ours[0])

    return [match.student for match in found], losses


def _sp(loss, teacher, weight):
    def losses(images, labels, outputs):
        theirs = keras.tree.flatten(teacher(images, training=False))
        parts = [distillation.similarity_loss(*pair) for pair in zip(outputs, theirs)]
        # A scalar; every example carries it, so that replicas weigh by their share.
        return loss(labels, outputs[0]) + weight * sum(parts) / len(parts)

    return losses
