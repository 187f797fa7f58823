"""A user's own network: a function that builds it, or a file."""

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from hh_keras.errors import HHError, ModelError
from hh_keras.models.files import from_file
from hh_keras.suggestions import did_you_mean

__all__ = ["call", "from_file", "from_function"]


def from_function(
    spec: str,
    image_shape: tuple | None,
    num_classes: int | None,
    model_args: dict | None = None,
    scale: int | None = None,
) -> keras.Model:
    """Calls `module:function` to build a model.

    The current directory is searched too, after everything installed. Parameters
    named `image_shape` or `input_shape`, `num_classes` or `classes`, and `scale`,
    receive what was asked for; `model_args` go in by name and win.

    Args:
        spec: import path, `"package.module:function"`.
        image_shape: `(height, width, channels)`; of several images, their shapes. None:
            a model that is not built stays so.
        num_classes: number of classes.
        model_args: dict of further arguments.
        scale: how many times larger the images become; None is not handed on.

    Returns:
        The model that the function returns.

    Raises:
        ModelError: nothing importable there, arguments it does not take, an error
            inside it, or a result that is not a built Keras model.
    """
    function = _import(spec)
    offered = {
        "image_shape": image_shape,
        "input_shape": image_shape,
        "num_classes": num_classes,
        "classes": num_classes,
        **({} if scale is None else {"scale": scale}),
    }
    arguments = {**_accepted(function, offered), **(model_args or {})}
    model = call(function, arguments, f"--model {spec}")
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"{spec} returned {type(model).__name__}; it must return a keras.Model."
        )
    if model.built or image_shape is None:
        return model
    return _built(model, image_shape, spec)


def tells_itself(spec: str) -> bool:
    """Whether `module:function` builds a model without being told of any data."""
    if ":" not in spec:
        return False
    function = _import(spec)
    return not _accepted(function, dict.fromkeys(_OFFERED))


_OFFERED = ("image_shape", "input_shape", "num_classes", "classes", "scale")


def _built(model, image_shape, spec):
    """A class of models, or a Sequential one, learns from a call what it takes."""
    several = isinstance(image_shape[0], (tuple, list))
    shapes = [(None, *each) for each in (image_shape if several else [image_shape])]
    try:
        model.build(shapes if several else shapes[0])
    except Exception as error:  # a user's class may raise anything
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{spec} returned a model that is not built, and does not take images of "
            f"shape {tuple(image_shape)} ({type(error).__name__}: {reason}). Call it "
            "once on what it takes before it is returned."
        ) from error
    return model


def call(function: Callable, arguments: dict, culprit: str) -> Any:
    """Calls a model builder and explains arguments that it does not take.

    Args:
        function: the builder.
        arguments: dict of its arguments.
        culprit: how the message names it.

    Returns:
        What the function returns.

    Raises:
        ModelError: unknown or missing arguments, or any error inside the builder.
    """
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        takes = ", ".join(inspect.signature(function).parameters)
        raise ModelError(
            f"{culprit}: {error}; the arguments it takes are: {takes}."
        ) from error
    try:
        return function(**arguments)
    except HHError as error:  # it says what to do
        raise ModelError(f"{culprit}: {error}") from error
    except Exception as error:  # a user's function may raise anything
        raise ModelError(
            f"{culprit} failed with {type(error).__name__}: {error}"
        ) from error


def import_module(name: str, culprit: str) -> Any:
    """Imports a user's module, of the current directory too.

    Args:
        name: such as `"package.module"`.
        culprit: how the message names who asked for it.

    Raises:
        ModelError: no such module, or any error inside it.
    """
    _search_here()
    try:
        return importlib.import_module(name)
    except Exception as error:  # importing runs a user's code
        absent = isinstance(error, ModuleNotFoundError) and error.name in (
            name,
            name.split(".")[0],
        )
        what = " It must be installed, in the current directory, or on PYTHONPATH."
        raise ModelError(
            f"{culprit}: cannot import {name} ({type(error).__name__}: {error})."
            + what * absent
        ) from error


def file_of(spec: str) -> Path | None:
    """The file of the module of `module:NAME`; None if it is no such text or module."""
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", spec):
        return None
    _search_here()
    try:
        found = importlib.util.find_spec(spec.partition(":")[0])
    except Exception:  # a package around it runs a user's code; who imports it tells
        return None
    return Path(found.origin) if found and found.has_location and found.origin else None


def _search_here():
    """Has modules of the current directory found, after everything installed."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def _import(spec):
    module_name, _, function_name = spec.partition(":")
    module = import_module(module_name, f"--model {spec}")
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ModelError(
            f"--model {spec}: {module_name} has no function {function_name!r}."
            + did_you_mean(function_name, [n for n in vars(module) if n[0] != "_"])
        )
    return function


def _accepted(function, offered):
    """The offered arguments that the function names as parameters."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in offered.items() if name in names}
