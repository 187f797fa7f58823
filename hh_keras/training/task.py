"""A task: what a network is for, as plain data that search and training read."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from hh_keras.errors import HHError, ModelError


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """All that differs from one task to another.

    Attributes:
        name: as a flag has it: "classify", "denoise", "sr".
        noun: what a network of this task is called in messages.
        loss: `loss(model, label_smoothing=0.0)` returns `f(labels, outputs) →
            (batch,)`; it trains, and scores channels.
        measures: name → `f(labels, output) → (batch,)`, columns of the history beside
            the loss.
        goal: the measure that tells the best epoch; more is better.
        evaluate: `evaluate(model, dataset)` returns a dict of floats.
        check: `check(model, data)` raises a `ModelError` or `DataError` unless the
            model fits the data that `hh_keras.data` loaded.
        defaults: flag → value, where the task wants another than classification does.
        preview: `preview(model, dataset, count)` returns a list of rows of uint8
            images, name → `(height, width, channels)`, to look at; or None.
        encoded: what `hh_keras.export.saved_model` takes as `encoded`: "auto", None, or
            `encoded(model, image_shape)` that returns a `Signature`.
        distills: values of `Recipe.distill` that make sense.
        unfit: fields of `Recipe` that must stay at their defaults.
        criterion: what ranks the channels of networks that start afresh; None leaves
            that to `hh_keras.shrink`.
    """

    name: str
    noun: str
    loss: Callable
    measures: Mapping
    goal: str
    evaluate: Callable
    check: Callable
    defaults: Mapping = dataclasses.field(default_factory=dict)
    preview: Callable | None = None
    encoded: Callable | str | None = "auto"
    distills: tuple = ("none",)
    unfit: tuple = ()
    criterion: str | None = None

    def check_recipe(self, recipe: Any):
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


def single_output(model):
    """Returns the one output of a model, a symbolic tensor.

    Raises:
        ModelError: the model was never built, is subclassed, or has several outputs.
    """
    try:
        outputs = model.outputs
    except (AttributeError, ValueError):
        outputs = None
    if not outputs:
        raise ModelError(
            f"model {model.name!r} has no known outputs: it is subclassed or was "
            "never built. Make it functional, or call it once on an input."
        )
    if len(outputs) != 1:
        raise ModelError(
            f"model {model.name!r} has {len(outputs)} outputs; a model with exactly "
            "one is needed."
        )
    return outputs[0]
