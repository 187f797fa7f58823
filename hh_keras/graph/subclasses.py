"""Functional models of a user's own class, which train in their own way."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import keras
from keras.src.models.functional import Functional

# What a class overrides to train, evaluate or predict in its own way.
WAYS = (
    "train_step",
    "test_step",
    "predict_step",
    "compute_loss",
    "compute_metrics",
    "compile",
    "fit",
    "evaluate",
    "predict",
    "metrics",
    "make_train_function",
    "make_test_function",
    "make_predict_function",
)


def own_ways(model: keras.Model) -> list:
    """Names of the methods by which a model's class trains in its own way."""
    kind = type(model)
    known = keras.Sequential if issubclass(kind, keras.Sequential) else keras.Model
    return [n for n in WAYS if getattr(kind, n) is not getattr(known, n)]


def model_like(model: keras.Model, inputs: Any, outputs: list) -> keras.Model:
    """A functional model of new tensors, of the class of `model` if that matters.

    A class that overrides how a model trains is kept, without calling its
    constructor; any other becomes a plain `keras.Model`, which loads without it.

    Args:
        model: the model that was replayed.
        inputs, outputs: new symbolic tensors in its structure.
    """
    base = Functional if isinstance(model, Functional) else None
    return _like(model, base, keras.Model, inputs, outputs)


def sequence_like(model: keras.Model, layers: list) -> keras.Model:
    """The same of a Sequential model, of new layers."""
    return _like(model, keras.Sequential, keras.Sequential, layers)


def _like(model, base, plain, *arguments):
    ways = own_ways(model) if base else []
    if ways:
        kind = type(model)
        try:
            new = kind.__new__(kind)
            base.__init__(new, *arguments, name=model.name)
            return new
        except Exception as error:  # a user's __new__ or __setattr__ may do anything
            warnings.warn(
                f"model '{model.name}' is a {kind.__name__} with its own "
                f"{', '.join(ways)}, of which none could be made anew "
                f"({type(error).__name__}: {error}): the new model is a plain "
                "keras.Model and trains in Keras' own way.",
                stacklevel=2,
            )
    return plain(*arguments, name=model.name)


def keep_attributes(old: Any, new: Any, made: dict, remake: Callable) -> None:
    """Gives a model of a user's class the attributes that the old one was given.

    Layers of the graph are replaced by the new ones, metrics and optimisers made anew;
    all else is shared.

    Args:
        old, new: models of the same class; otherwise nothing happens.
        made: id of an old layer → the new one.
        remake: makes a functional model anew, of the layers that were made.
    """
    if type(old) is not type(new) or not own_ways(old):
        return
    for key, value in vars(old).items():
        if key not in _keys_of_a_model() and key not in vars(new):
            setattr(new, key, _in_place_of(value, made, remake))


@functools.cache
def _keys_of_a_model():
    """Attributes that Keras itself gives a compiled functional model."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile("sgd", "mse")
    return frozenset(vars(model))


def _in_place_of(value, made, remake):
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, Functional) and any(id(x) in made for x in value.layers):
        return remake(value)
    if isinstance(value, (keras.metrics.Metric, keras.optimizers.Optimizer)):
        return type(value).from_config(value.get_config())
    if isinstance(value, (list, tuple)):
        return [_in_place_of(v, made, remake) for v in value]
    if isinstance(value, dict):
        return {k: _in_place_of(v, made, remake) for k, v in value.items()}
    return value
