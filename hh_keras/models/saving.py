"""Whether what is in a model can be written to a file and read back."""

import inspect
import json
import types
import warnings

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.graph.calls import is_graph
from hh_keras.models.reasons import keras_reason
from hh_keras.models.safety import check_config

_REGISTER = (
    "Decorate it with @keras.saving.register_keras_serializable() at the top of its "
    "module"
)
_REMEDIES = {
    "lambda": "Write a keras.layers.Layer class with get_config instead, and decorate "
    "it with @keras.saving.register_keras_serializable()",
    "non-serializable argument": "Give it plain Python numbers and tuples",
    "unexpected keyword argument": "Let __init__ take **kwargs, for super().__init__, "
    "and write get_config",
    "get_config": "Write get_config so that it returns all that __init__ takes",
    "inside a function": "Move it to the top of its module",
}
_NOT_OF_USERS = ("keras", "builtins", "tensorflow")
_PLAIN = (bool, int, float, str, tuple, type(None))


def check_can_be_saved(model: keras.Model) -> None:
    """Raises unless a `.keras` file of a model could be opened again, as it is.

    Opened by `hh_keras.models.build`, that is without executing code in the file, in a
    process in which the model's own modules are imported. Every layer is described,
    made again from its description, unbuilt, and compared; no weights are touched.

    Args:
        model: a built functional or Sequential model.

    Raises:
        ModelError: a Python lambda in it, a function or class that is not registered
            with Keras, or a layer whose `get_config` does not tell all; the message
            names the layer and the remedy.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns of lambdas; here they raise
        seen: dict = {}
        _check_graph(model, seen)
        _explained(
            model, lambda: json.dumps(keras.saving.serialize_keras_object(model))
        )


def _check_graph(model, seen):
    """Checks a model's class, and all that it calls, once each."""
    if type(model).__module__.partition(".")[0] != "keras":
        _explained(model, lambda: _check_class(type(model)))
    for op in model.layers if isinstance(model, keras.Sequential) else model.operations:
        if id(op) in seen:
            continue
        seen[id(op)] = op
        if is_graph(op):
            _check_graph(op, seen)
        elif not isinstance(op, keras.layers.InputLayer):
            _explained(op, lambda op=op: _check_object(op))


def _explained(op, check):
    """Names the layer, and the remedy, in whatever a check raises."""
    try:
        check()
    except Exception as error:  # get_config and constructors of users raise anything
        reason = keras_reason(error)
        found = (remedy for sign, remedy in _REMEDIES.items() if sign in reason)
        raise ModelError(
            f"Layer {op.name!r} ({type(op).__name__}) could not be read back from a "
            f".keras file: {reason}. {next(found, _REGISTER)}."
        ) from error


def _check_object(op):
    described = keras.saving.serialize_keras_object(op)
    described.pop("build_config", None)  # it would make the weights
    described.pop("compile_config", None)
    described = json.loads(json.dumps(described))
    try:
        check_config(described, "")
    except ModelError as error:
        reason = str(error).partition("is not opened: ")[2].partition(". ")[0]
        itself = f"{type(op).__name__} {op.name!r} holds"
        raise ModelError(reason.replace(itself, "it holds")) from error
    found = keras.saving.deserialize_keras_object(described, safe_mode=True)
    _compare(op, found, type(op).__name__)


def _check_class(own):
    if keras.saving.get_registered_object(keras.saving.get_registered_name(own)) != own:
        raise ModelError(f"{own.__name__} is a class that is not registered with Keras")
    _check_place(own)


def _check_place(own):
    """Raises for what is registered only once some function has been called."""
    if "<locals>" in own.__qualname__:
        raise ModelError(
            f"{own.__name__} is defined inside a function, so importing its module "
            "does not register it"
        )


def _compare(own, found, place):
    """Raises if what came back is something else than what was described."""
    if isinstance(own, (list, tuple)) and isinstance(found, (list, tuple)):
        for a, b in zip(own, found):
            _compare(a, b, place)
    elif isinstance(own, dict) and isinstance(found, dict):
        for key in own.keys() & found.keys():
            _compare(own[key], found[key], f"{place}.{key}")
    elif _is_function(own):
        if not _same_function(own, found):
            raise ModelError(
                f"{place} is the function {_called(own)}, and Keras would read "
                f"{_called(found)} instead"
            )
        _check_users(own)
    elif hasattr(own, "get_config") and not inspect.isclass(own):
        if type(found) is not type(own):
            raise ModelError(
                f"{place} is a {type(own).__name__}, and Keras would read "
                f"{_called(found)} instead"
            )
        _check_users(type(own))
        _compare_attributes(own, found, place)


def _compare_attributes(own, found, place):
    users = _is_users(type(own))
    takes = inspect.signature(type(own).__init__).parameters if users else ()
    for name, value in vars(own).items():
        own_matter = name in _OF_KERAS or name.startswith("_self_")
        if own_matter or name not in vars(found):
            continue
        other = vars(found)[name]
        if other is None and name not in takes:
            continue  # made when it was built
        _compare(value, other, f"{place}.{name}")
        plain = name in takes and type(value) in _PLAIN and type(other) in _PLAIN
        if plain and not (value == other or value != value):
            raise ModelError(
                f"{place}.{name} is {value!r}, and would be {other!r}: get_config does "
                "not tell it"
            )


# What Keras keeps on every layer; none of it is a setting.
_OF_KERAS = (
    "_inbound_nodes",
    "_layers",
    "_losses",
    "_metrics",
    "_outbound_nodes",
    "_seed_generators",
    "_tracker",
    "build",
    "call",
    "quantize",
)


def _is_function(value):
    return isinstance(value, (types.FunctionType, types.BuiltinFunctionType)) or (
        callable(value) and not inspect.isclass(value) and hasattr(value, "__name__")
    )


def _same_function(own, found):
    """Whether they are one, or compute the same though neither is the user's.

    Keras reads `tf.nn.relu`, `keras.ops.relu` and its own `relu` by one name.
    """
    if own is found or not callable(found) or _is_users(own):
        return own is found
    x = np.linspace(-8, 8, 65, dtype="float32").reshape(5, 13)
    return np.allclose(np.asarray(own(x)), np.asarray(found(x)), atol=1e-6)


def _is_users(own):
    return (own.__module__ or "").partition(".")[0] not in _NOT_OF_USERS


def _check_users(own):
    if _is_users(own) and hasattr(own, "__qualname__"):
        _check_place(own)


def _called(value):
    name = getattr(value, "__name__", None) or type(value).__name__
    return f"{getattr(value, '__module__', None) or 'builtins'}.{name}"
