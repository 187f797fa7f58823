"""A task: what a network is for, as plain data that training and search read."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras

from hh_keras.errors import HHError
from hh_keras.goal import LOSS, Goal
from hh_keras.graph.heads import output_names
from hh_keras.training.evaluation import evaluate
from hh_keras.training.losses import by_output, losses, of_keras
from hh_keras.training.recipes import Recipe


@dataclasses.dataclass(frozen=True, eq=False)
class _Evaluation:
    """What a task is evaluated by unless it says otherwise: all that it knows."""

    task: "Task"

    def __call__(self, model: keras.Model, dataset: Any) -> dict[str, float]:
        task = self.task
        judged = task.measures, task.metrics, task.weighted_metrics
        return evaluate(model, dataset, task.losses(model), *judged)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """All that training, search and report need to know of a task.

    Attributes:
        loss: `loss(model, label_smoothing=0.0)` returns `f(labels, outputs) →
            (batch,)`, or → a mapping of output name to that; outputs are in the
            structure of the model's. Or what `model.compile` takes: a Keras loss or
            its name, a list or dict of them, one for each output; None leaves an
            output alone. It trains, and scores channels.
        weights: of the outputs' losses, a dict or list as of `model.compile`.
        name: as a flag has it: "classify", "denoise", "sr".
        noun: what a network of this task is called in messages.
        measures: name → `f(labels, outputs) → (batch,)`, columns of the history beside
            the loss; NaN for an example that tells nothing, which does not count.
        metrics, weighted_metrics: Keras metrics, as `model.compile` takes them; they
            are made anew for each training, and named as Keras names them.
        goal: the measure that tells the best epoch, and the better of two networks.
        evaluate: `evaluate(model, dataset)` returns a dict of floats, the goal's among
            them. Default: losses, measures and metrics.
        check: `check(model, data)` raises a `ModelError` or `DataError` unless the
            model fits the data that it is to learn from.
        defaults: flag → value, where the task wants another than the flag's own.
        preview: `preview(model, dataset, count)` returns a list of rows of uint8
            images, name → `(height, width, channels)`, to look at.
        encoded: what `hh_keras.export.saved_model` takes as `encoded`: "auto", None, or
            `encoded(model, image_shape)` that returns a `Signature`; one that has an
            argument `labels` gets the data's class names.
        distills: values of `Recipe.distill` that make sense.
        choices: names of the outputs that are choices among classes, for kd; None are
            those that end in softmax, and the output of a network with one.
        unfit: fields of `Recipe` that must stay at their defaults.
        criterion: what ranks the channels of networks that start afresh; None leaves
            that to `hh_keras.shrink`.
        labelled: whether training images have labels; else only validation images have,
            and the teacher alone teaches.
        data: of a task of your own, see docs/own-task.md: a function that returns
            `(train, validation)`. None: labelled images of --dataset.

    Examples:
        >>> task = hh_keras.training.Task(loss=loss, metrics=["accuracy"])
        >>> task.name, task.goal.key, task.goal.lower  # what tells the best epoch
        ('own', 'loss', True)
    """

    loss: Any
    weights: Any = None
    name: str = "own"
    noun: str = "network"
    measures: Mapping[str, Callable] = dataclasses.field(default_factory=dict)
    metrics: Any = None
    weighted_metrics: Any = None
    goal: Goal = LOSS
    evaluate: Callable[..., dict] = None  # type: ignore[assignment]
    check: Callable[[keras.Model, Any], None] = lambda model, data: None
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    preview: Callable[..., list] = lambda model, dataset, count: []
    encoded: Callable | str | None = "auto"
    distills: tuple[str, ...] = ("none", "kd", "sp", "match")
    choices: tuple[str, ...] | None = None
    unfit: tuple[str, ...] = ()
    criterion: str | None = None
    labelled: bool = True
    data: Callable | None = None

    def __post_init__(self):
        if self.evaluate is None or isinstance(self.evaluate, _Evaluation):
            object.__setattr__(self, "evaluate", _Evaluation(self))

    def losses(self, model: keras.Model, label_smoothing: float = 0.0) -> Callable:
        """The losses of a model's outputs, see `hh_keras.training.losses.losses`."""
        loss = self.loss
        if callable(loss) and not of_keras(loss):
            loss = self._made(model, label_smoothing)
        elif label_smoothing:
            raise HHError(
                f"label_smoothing={label_smoothing:g}: this task's loss is Keras' own; "
                "give it there, such as CategoricalCrossentropy(label_smoothing=0.1)."
            )
        return losses(loss, model, self.weights)

    def _made(self, model, label_smoothing):
        hint = (
            f"task {self.name!r}: its loss must be a function of a model that returns "
            "one of labels and outputs: loss=lambda model, label_smoothing=0.0: "
            "my_loss; or what model.compile takes, {'output': my_loss}."
        )
        try:
            loss = self.loss(model, label_smoothing)
        except HHError:
            raise
        except Exception as error:  # my_loss itself, called with a model
            raise HHError(f"{hint} ({type(error).__name__}: {error})") from error
        if not callable(loss) and not isinstance(loss, (dict, list, tuple, str)):
            raise HHError(f"{hint} It returned {type(loss).__name__}.")
        return loss

    def scale(self, model: keras.Model) -> dict[str, float]:
        """Output name → weight of its loss."""
        names = output_names(model)
        return {
            **dict.fromkeys(names, 1.0),
            **by_output("weights", self.weights, names),
        }

    def check_recipe(self, recipe: Recipe) -> None:
        """Raises HHError if a recipe asks for what this task has no use for."""
        if recipe.distill not in self.distills:
            raise HHError(
                f"recipe: distill is {recipe.distill!r}; for a {self.noun} it must be "
                f"one of {', '.join(self.distills)}."
            )
        plain = type(recipe)()
        for name in self.unfit:
            if getattr(recipe, name) != getattr(plain, name):
                raise HHError(
                    f"recipe: {name} is {getattr(recipe, name)!r}, which means nothing "
                    f"for a {self.noun}; leave it at {getattr(plain, name)!r}."
                )
