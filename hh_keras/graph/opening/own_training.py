"""A graph that trains the way a class does, with its `train_step` and all of that."""

import inspect
from typing import Any

import keras
from keras.src.models.functional import Functional

from hh_keras.graph.opening.openable import held
from hh_keras.graph.subclasses import WAYS, own_ways


def with_own_training(original: Any, model: Any) -> tuple:
    """Puts a functional model into the class of another one, if that trains by itself.

    The result shares its layers with `model`. Hyper-parameters, loss trackers and the
    like are those of `original`. It saves itself as the functional model that it is.

    Args:
        original: a model of any class.
        model: a functional model that computes what `original` computes.

    Returns:
        `(model, lost)`; `lost` says what cannot be kept, or is None.
    """
    own = own_ways(original)
    if not own or isinstance(original, keras.Sequential):
        return model, None
    inside = _layers_named(original, own)
    if inside:
        return model, (
            f"{type(original).__name__}.{own[0]} uses self.{inside[0]} by itself, so "
            "the opened model trains with the loss that it is compiled with"
        )
    new = _class(type(original))(
        model._inputs_struct, model._outputs_struct, name=model.name
    )
    for name, value in vars(original).items():
        if not name.startswith("_") and name not in vars(new):
            if not _holds_layers(value):
                setattr(new, name, value)
    return new, None


def _user_classes(kind):
    return [c for c in kind.__mro__ if c.__module__.split(".")[0] != "keras"][:-1]


def _is_own(kind, name):
    owner = next((c for c in kind.__mro__ if name in vars(c)), None)
    return owner in _user_classes(kind)


def _class(kind):
    """The user's class over `Functional`, whose graph stands for its `call`."""
    names = {n for c in _user_classes(kind) for n in vars(c)} - set(WAYS)
    names = {n for n in names if hasattr(Functional, n)} | {"call", "__init__"}
    names -= {"__dict__", "__weakref__", "__doc__"}
    body = {n: inspect.getattr_static(Functional, n) for n in names}
    if _is_own(kind, "compile"):
        body["get_compile_config"] = lambda self: None
    body["__module__"] = Functional.__module__
    new = type(Functional.__name__, (kind, Functional), body)
    new.__qualname__ = Functional.__qualname__
    return new


def _layers_named(original, own):
    """Attributes with layers in them that the methods `own` speak of."""
    kind = type(original)
    seen, names = set(), list(own)
    used = []
    while names:
        name = names.pop()
        method = inspect.getattr_static(kind, name, None)
        method = getattr(method, "fget", method)
        if name in seen or not inspect.isfunction(method):
            continue
        seen.add(name)
        for inner in method.__code__.co_names:
            if _is_own(kind, inner) and inner != "call":
                names.append(inner)
            elif _holds_layers(vars(original).get(inner)):
                used.append(inner)
    return used


def _holds_layers(value):
    kinds = (keras.Layer, keras.Variable)
    return any(isinstance(x, kinds) for x in held(value))
