"""Operations made anew: as they are, but for some of their arguments.

What is in memory is trusted. Functions, initialisers, regularisers and constraints are
handed over as the Python objects that they are, since another object may have the
same name; only sizes come from configs.
"""

import copy
import functools
import inspect
import types
from typing import Any

import keras
import numpy as np
from keras.src.saving.serialization_lib import SafeModeScope, SerializableDict

from hh_keras.errors import ModelError
from hh_keras.graph.closed import hand_on
from hh_keras.graph.copying import OWN, copy_layer, first_line
from hh_keras.graph.sharing import shared


def clone_op(op: Any, changes: dict | None = None, kind: Any = None) -> Any:
    """A fresh operation like `op`, with some of its arguments changed.

    Args:
        op: a layer or a `keras.ops` operation; it is not changed.
        changes: argument name → new value.
        kind: another class with the same arguments, if it is to be of that.

    Returns:
        The new operation; a layer is not built, unless it could only be copied as the
        object that it is.

    Raises:
        ModelError: the operation cannot be made from its own arguments, and some of
            them change.
    """
    changes = changes or {}
    if not isinstance(op, keras.Layer):
        return _operation(op, changes, kind or type(op))
    if hasattr(op, "adapt") and not op.variables:
        return op  # a table of words: nothing in it is trained or has a size
    try:
        new = _from_config(op, changes, kind)
        new.autocast = op.autocast  # not in the config
        if kind is not None:
            return new
        _keep_config(op, new, changes)
        if not type(op).__module__.startswith("keras."):
            _keep_untold(op, new if not changes else _from_config(op, {}), new)
        _check_methods(op, new)
        return hand_on(op, new)
    except ModelError:
        raise
    except Exception as error:  # a user's constructor may raise anything
        if not changes:
            return hand_on(op, copy_layer(op))
        raise ModelError(
            f"layer '{op.name}' ({type(op).__name__}) cannot be made again from its "
            f"own config ({type(error).__name__}: {first_line(error)}). "
            "Give the class a get_config() that returns its constructor arguments."
        ) from error


def _keep_config(op, new, changes):
    """Has a layer whose config Keras notes down tell what `op` tells.

    It was made of the live objects of `op`, and Keras notes plain values only.
    """
    told = getattr(op, "_auto_config", None)
    if told is not None:
        vars(new)["_auto_config"] = SerializableDict(**{**told.config, **changes})


def _keep_untold(op, copy, new):
    """Hands on attributes that a user's config does not tell.

    Args:
        op: the layer.
        copy: one made from its config as it is.
        new: the one to make like it, with other sizes perhaps.
    """
    made = vars(copy)
    for key, value in vars(op).items():
        if key.startswith("_") or key in _keys_of_a_layer() or not is_told(value):
            continue
        if key not in made or not _equal(made[key], value):
            vars(new)[key] = dict(value) if isinstance(value, dict) else value


@functools.cache
def _keys_of_a_layer():
    """Attributes that Keras itself gives a layer."""
    return frozenset(vars(keras.Layer()))


def is_told(value: Any) -> bool:
    """Whether it is numbers, texts, arrays, functions: what a config could tell of."""
    if isinstance(value, dict):
        return all(map(is_told, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_told, value))
    plain = (bool, int, float, str, np.ndarray, np.generic, types.FunctionType)
    return isinstance(value, plain)


def _check_methods(op, new):
    """A method that was replaced on the object itself cannot go with a new one."""
    lost = replaced_methods(op) - replaced_methods(new)
    if lost:
        raise ModelError(
            f"'{lost.pop()}' of layer '{op.name}' ({type(op).__name__}) was replaced "
            "on the object, so that no other layer can be made like it. Write a "
            "subclass that overrides it."
        )


def replaced_methods(op: Any) -> set:
    """Names of the methods of this very object that its class has otherwise."""
    kind: Any = type(op)
    held = vars(op)
    known = _methods(kind)
    if known.isdisjoint(held):  # nearly always
        return set()
    return {name for name in known & held.keys() if callable(held[name])}


@functools.lru_cache(maxsize=4096)
def _methods(kind):
    """Names of what can be called of a class, but for what each object has anew."""
    names = (name for name in dir(kind) if name not in OWN)
    return frozenset(n for n in names if callable(getattr(kind, n, None)))


def _from_config(op, changes, kind=None):
    config = _config(op)
    # A build config would build the layer with its old shape.
    config.pop("build_config", None)
    live = {k: live_value(op, k, v) for k, v in config.items() if k not in changes}
    for key, value in changes.items():
        inner = vars(op).get(key)
        if isinstance(inner, keras.Layer) and isinstance(value, dict):
            value = shared(inner, functools.partial(clone_op, changes=value))
        live[key] = value
    kind = kind or type(op)
    with SafeModeScope(False):  # the model is already in memory: trusted
        if _plain(kind):
            taken = _taken(kind, live)
            new = kind.from_config(taken)
            # Keras tells these of constructors with **kwargs, if it is called so.
            if taken.keys() != live.keys() or new.name != live.get("name", op.name):
                new.name, new.trainable = live.get("name", op.name), op.trainable
                new.dtype_policy = op.dtype_policy
            return new
        for make in (lambda: kind.from_config(dict(live)), lambda: kind(**live)):
            try:
                return _hand_over(op, make())
            except Exception:  # it wants its parts as it wrote them
                continue
        with keras.saving.CustomObjectScope(_functions(op)):
            return _hand_over(op, kind.from_config({**config, **changes}))


def _taken(kind, config):
    """What a constructor takes; one need not take what Keras says of every layer."""
    parameters = _parameters(kind)
    if parameters is None:
        return config
    common = ("name", "trainable", "dtype")
    return {k: v for k, v in config.items() if k in parameters or k not in common}


@functools.lru_cache(maxsize=4096)
def _parameters(kind):
    """Names of a constructor's arguments, None if it takes any."""
    parameters = inspect.signature(kind.__init__).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return frozenset(parameters)


def _config(op):
    """A layer's config; what cannot be written down in it is None."""
    try:
        return op.get_config()
    except NotImplementedError:
        hidden = {k: v for k, v in vars(op).items() if isinstance(v, _FUNCTIONS[1:])}
        if not hidden:
            raise
        try:
            vars(op).update(dict.fromkeys(hidden))
            config = op.get_config()
            if "activity_regularizer" in hidden:  # Keras leaves it out if it is None
                config.setdefault("activity_regularizer", None)
            return config
        finally:
            vars(op).update(hidden)


def _hand_over(op, new):
    """Gives the layers inside a wrapper the functions that those of `op` hold."""
    for old, young in zip(op._flatten_layers(), new._flatten_layers()):
        if type(old) is not type(young):
            continue
        for key, value in vars(old).items():
            made = vars(young).get(key)
            if key not in OWN and _is_function(value) and _is_function(made):
                vars(young)[key] = value
    return new


_FUNCTIONS = (
    types.FunctionType,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
)


def _is_function(x):
    return isinstance(x, _FUNCTIONS)


def _plain(kind):
    """Whether a class is made by calling it with its config, as Keras's own are."""
    return kind.from_config.__func__ is keras.Operation.from_config.__func__


def live_value(op: Any, key: str, value: Any) -> Any:
    """The object that an entry of a config stands for, if the operation holds it."""
    if isinstance(value, (bool, int, float)):
        return value
    held = vars(op)
    found = held.get(key, held.get("_" + key))
    if value is None:
        return found if _is_function(found) else None
    if found is None and isinstance(value, (str, dict)):
        found = _written_as(op, value)
    if isinstance(found, (list, tuple)) and any(
        isinstance(each, keras.Layer) for each in found
    ):
        return [shared(x, clone_op) if isinstance(x, keras.Layer) else x for x in found]
    return _fresh(found, value)


def _fresh(found, value):
    if isinstance(found, keras.Layer):
        return shared(found, clone_op)  # a layer inside a layer has weights of its own
    if isinstance(found, keras.initializers.Initializer):
        try:  # an initialiser without a seed of its own draws a new one
            return type(found).from_config(found.get_config())
        except Exception:
            return found
    if isinstance(found, dict) and isinstance(value, dict):
        return dict(found)  # arguments of a Lambda
    if callable(found) and not isinstance(found, (type, str, keras.DTypePolicy)):
        return found
    return value


def _written_as(op, value):
    """The function among an operation's attributes that is written so in its config.

    An attribute need not have the name of its argument.
    """
    name = value.get("config") if isinstance(value, dict) else value
    for each in vars(op).values():
        if inspect.isfunction(each) and each.__name__ == name:
            return each
    return None


def _functions(op):
    """Name → function, of all that a layer and the layers inside it hold."""
    layers = op._flatten_layers()
    return {
        each.__name__: each
        for layer in layers
        for key, each in vars(layer).items()
        if inspect.isfunction(each) and key not in OWN
    }


def _operation(op, changes, kind):
    """A `keras.ops` operation by its constructor, numpy's numbers made Python's.

    So it can be saved even if it was called with what Keras cannot write down.
    """
    names = [
        name
        for name, p in inspect.signature(type(op).__init__).parameters.items()
        if name not in ("self", "name") and p.kind in (p.POSITIONAL_OR_KEYWORD, 3)
    ]
    held = vars(op)
    if all(name in held for name in names):
        values = {name: _plain_value(held[name]) for name in names}
        try:
            new = kind(**{**values, **changes}, name=op.name)
        except Exception:
            new = None
        if new is not None and (kind is not type(op) or _alike(op, new, changes)):
            return new
    new = copy.copy(op)
    vars(new).update(changes, _inbound_nodes=[], _outbound_nodes=[])
    return new


def _plain_value(value):
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(_plain_value(v) for v in value)
    return value


def _alike(op, new, changes):
    """Whether a constructor gave the same attributes, but for the changed ones."""
    ignored = {*OWN, "_auto_config", "_lock", "_auto_config_error_args", *changes}
    mine, other = vars(op), vars(new)
    return mine.keys() == other.keys() and all(
        _equal(mine[k], other[k]) for k in mine.keys() - ignored
    )


def _equal(a, b):
    if a is b:
        return True
    try:
        return bool(np.all(a == b)) and np.shape(a) == np.shape(b)
    except Exception:  # ragged values
        return False
