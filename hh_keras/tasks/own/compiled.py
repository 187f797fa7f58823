"""A task out of what a model was compiled with."""

from collections.abc import Mapping
from typing import Any

import keras

from hh_keras.errors import HHError, ModelError
from hh_keras.goal import LOSS, number
from hh_keras.graph.heads import known_outputs, output_names
from hh_keras.training import Task
from hh_keras.training.losses import by_output

_CHOICES = ("categorical_crossentropy", "sparse_categorical_crossentropy")


def from_compiled(
    model: keras.Model, goal: str = "loss", lower: bool | None = None, **settings: Any
) -> Task:
    """A task with the losses, their weights and the metrics of `model.compile`.

    Whoever has `model.fit` working has all of it for `train`, `shrink` and `recover`.
    The optimiser is not taken over, a `Recipe` has its own; `fit`'s class weights are
    sample weights here.

    Args:
        model: compiled, with a loss; its weights and its compilation stay as they are.
        goal: what tells the best epoch, and the better of two networks: "loss", or a
            metric by its name in Keras' history ("accuracy", "NAME_accuracy").
        lower: whether less of the goal is better; None asks the metric.
        **settings: further fields of a `Task`.

    Returns:
        A `hh_keras.training.Task`.

    Raises:
        ModelError: the model was not compiled with a loss, or has a `train_step` or
            `compute_loss` of its own, which a compilation does not tell of.
        HHError: no such goal, or not known which is better.

    Example:
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> from_compiled(model).loss
        'mse'
    """
    known_outputs(model)
    for name in ("train_step", "test_step", "compute_loss"):
        if getattr(type(model), name) is not getattr(keras.Model, name):
            raise ModelError(
                f"model {model.name!r} has a {name} of its own, of which its "
                "compilation does not tell: give a Task(loss=...) instead."
            )
    compiled = getattr(model, "_compile_loss", None)
    if compiled is None:
        raise ModelError(
            f"model {model.name!r} was not compiled with a loss: call model.compile("
            "optimizer, loss), or give a Task(loss=...)."
        )
    judged = getattr(model, "_compile_metrics", None)
    metrics = judged._user_metrics if judged else None
    weighted = judged._user_weighted_metrics if judged else None
    loss = compiled._user_loss
    names = output_names(model)
    if callable(loss) and not isinstance(loss, keras.losses.Loss):
        loss = dict.fromkeys(names, loss)  # for every output, as Keras has it
    if not isinstance(loss, Mapping) and isinstance(loss, (list, tuple)):
        loss = by_output("losses", list(loss), names)
    if isinstance(loss, Mapping):  # Keras leaves out outputs that it does not name
        loss = {**dict.fromkeys(names), **loss}
    made = {
        "loss": loss,
        "weights": compiled._user_loss_weights,
        "metrics": metrics,
        "weighted_metrics": weighted,
        "goal": _goal(goal, lower, names, metrics, weighted),
        "choices": _choices(loss, names),
        "unfit": ("label_smoothing",),
        "noun": f"network like {model.name!r}",
    }
    task = Task(**{**made, **settings})
    task.losses(model)  # says what is wrong
    return task


def _choices(loss, names):
    """Outputs whose loss is a crossentropy of classes; None if there is no telling."""
    by_name = loss if isinstance(loss, Mapping) else dict.fromkeys(names, loss)
    found = tuple(n for n, each in by_name.items() if _name(each) in _CHOICES)
    return found or None


def _name(loss):
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return loss
    return getattr(loss, "name", None) or getattr(loss, "__name__", "")


def _goal(goal, lower, names, metrics, weighted):
    if goal == "loss":
        return LOSS
    if lower is None:
        lower = _lower(goal, names, metrics, weighted)
    return number(goal, lower=lower)


def _lower(goal, names, metrics, weighted):
    """Whether less of a metric is better, as Keras' own callbacks find out."""
    if goal.endswith("_loss"):
        return True
    prefixes = ("", *(f"{name}_" for name in names), "weighted_")
    for metric in keras.tree.flatten([metrics, weighted]):
        name = metric if isinstance(metric, str) else getattr(metric, "name", "")
        if not any(goal in (f"{p}{name}", f"{p}weighted_{name}") for p in prefixes):
            continue
        if name in ("accuracy", "acc"):
            return False
        try:
            known = keras.metrics.get(metric) if isinstance(metric, str) else metric
        except ValueError:
            break
        direction = getattr(known, "_direction", None)
        if direction:
            return direction == "down"
    raise HHError(
        f"goal={goal!r}: whether more or less of it is better is not known; say "
        "lower=False or lower=True."
    )
