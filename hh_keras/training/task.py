"""A task: what a network is for, as plain data that training and search read."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras

from hh_keras.errors import HHError
from hh_keras.goal import Goal
from hh_keras.training.recipes import Recipe


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """All that training, search and report need to know of a task.

    Attributes:
        name: as a flag has it: "classify", "denoise", "sr".
        noun: what a network of this task is called in messages.
        loss: `loss(model, label_smoothing=0.0)` returns `f(labels, outputs) →
            (batch,)`; it trains, and scores channels.
        measures: name → `f(labels, output) → (batch,)`, columns of the history beside
            the loss.
        goal: the measure that tells the best epoch, and the better of two networks.
        evaluate: `evaluate(model, dataset)` returns a dict of floats.
        check: `check(model, data)` raises a `ModelError` or `DataError` unless the
            model fits the data that it is to learn from.
        defaults: flag → value, where the task wants another than the flag's own.
        preview: `preview(model, dataset, count)` returns a list of rows of uint8
            images, name → `(height, width, channels)`, to look at.
        encoded: what `hh_keras.export.saved_model` takes as `encoded`: "auto", None, or
            `encoded(model, image_shape)` that returns a `Signature`.
        distills: values of `Recipe.distill` that make sense.
        unfit: fields of `Recipe` that must stay at their defaults.
        criterion: what ranks the channels of networks that start afresh; None leaves
            that to `hh_keras.shrink`.
        labelled: whether training images have labels; else only validation images have,
            and the teacher alone teaches.
    """

    name: str
    noun: str
    loss: Callable[..., Callable]
    measures: Mapping[str, Callable]
    goal: Goal
    evaluate: Callable[..., dict]
    check: Callable[[keras.Model, Any], None]
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    preview: Callable[..., list] = lambda model, dataset, count: []
    encoded: Callable | str | None = "auto"
    distills: tuple[str, ...] = ("none",)
    unfit: tuple[str, ...] = ()
    criterion: str | None = None
    labelled: bool = True

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
