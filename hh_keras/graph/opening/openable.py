"""Which layers are classes that can be opened, and what they hold."""

import collections
import contextlib
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend import set_keras_mask

from hh_keras.graph import calls
from hh_keras.graph.rules import find_rule
from hh_keras.graph.table import some

KERAS = ("keras", "tensorflow", "tf_keras")
_BOOKS = {"_trainable_variables", "_non_trainable_variables", "_layers", "_metrics"}
_BOOKS |= {"_tracker", "_seed_generators", "_losses", "_tracked"}

SEQUENTIAL = keras.Sequential.call


def opens(layer: Any, nested: Any, leaves: Any, wanted: Any) -> bool:
    """Whether a layer is a class of layers whose `call` somebody wrote.

    Layers of Keras itself and those that have a rule are not. Functional and Sequential
    models are, if something in them is; a Sequential model in a class is in any case,
    for its input may have been fixed by whatever it was called on first, and so is a
    Lambda, which is a part of the class's own code, or an Activation of a lambda, which
    no file could name.

    Args:
        nested: whether it stands in such a class.
        leaves: whether layers that hold no layers count.
        wanted: `wanted(layer, nested)` says the same of the layers in it.
    """
    if nested and _has_a_nameless_function(layer):
        return True
    if type(layer).__module__.startswith("keras."):
        if not isinstance(layer, (keras.Model, keras.layers.Lambda)):
            return False
    if find_rule(layer) is not None:
        return False
    if isinstance(layer, (keras.Sequential, keras.layers.Lambda)) and nested:
        return True
    if is_graph(layer):
        inner = layer._flatten_layers(include_self=False, recursive=False)
        return any(wanted(x, False) for x in inner)
    if of_keras(layer):
        return False
    inner = list(layer._flatten_layers(include_self=False))
    return bool(inner) or leaves or isinstance(layer, keras.Model)


def _has_a_nameless_function(layer):
    name = getattr(getattr(layer, "activation", None), "__qualname__", "")
    return type(layer) is keras.layers.Activation and "<" in name


def drawing_together(layers: Any) -> set:
    """Layers that share a generator of random numbers, which copies could not."""
    holders = collections.defaultdict(set)
    for layer in layers:
        for generator in layer._seed_generators:
            holders[generator].add(layer)
    return {x for each in holders.values() if len(each) > 1 for x in each}


def is_graph(layer: Any) -> bool:
    return calls.is_graph(layer) or (
        isinstance(layer, keras.Sequential) and type(layer).call is SEQUENTIAL
    )


def of_keras(layer: Any) -> bool:
    """Whether what a layer computes was written by Keras."""
    kinds = type(layer).__mro__
    owners = [next(c for c in kinds if n in vars(c)) for n in ("call", "__call__")]
    return all(owner.__module__.split(".")[0] in KERAS for owner in owners)


def masked(inputs: Any, mask: Any) -> Any:
    """Has tensors say the mask that a model was handed, as Keras does."""
    masks = [] if mask is None else keras.tree.flatten(mask)
    for x, each in zip(keras.tree.flatten(inputs), masks):
        if each is not None:
            set_keras_mask(x, each)
    return inputs


def in_turn(model: Any, x: Any, mask: Any) -> Any:
    x = masked(x, mask)
    for layer in model.layers:
        x = layer(x)
    return x


def variables_in(layer: Any, original: Any = None) -> Iterator[tuple]:
    """Yields `(layer, container, key, value)` of each variable that a layer names.

    It looks into lists, dicts and tuples however deep. What a tuple holds cannot be
    replaced in it: of such the outermost tuple is the value.

    Args:
        original: `original(value)` is the variable, or the tuple with variables, that
            a value stands for, or None.
    """
    original = original or _with_variables
    seen: set = set()
    for name, value in vars(layer).items():
        if name not in _BOOKS and not name.startswith("_self_"):
            for place in _places(vars(layer), name, value, original, seen):
                yield layer, *place


def _places(container, key, value, original, seen):
    found = original(value)
    if found is not None and not isinstance(container, tuple):
        yield container, key, found
    if isinstance(value, (list, dict, tuple)) and id(value) not in seen:
        seen.add(id(value))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for each, item in list(items):
            yield from _places(value, each, item, original, seen)


def _with_variables(value):
    """A variable, or a tuple that holds one, itself; else None."""
    if isinstance(value, keras.Variable):
        return value
    inner = isinstance(value, tuple) and map(_with_variables, value)
    return value if inner and any(x is not None for x in inner) else None


def variables_of(value: Any) -> list:
    """The variables that a variable is, or a tuple holds."""
    if isinstance(value, keras.Variable):
        return [value]
    inner = value if isinstance(value, tuple) else ()
    return [v for item in inner for v in variables_of(item)]


def replaced(value: Any, symbols: dict) -> Any:
    """A variable's tensor, or a tuple with tensors in the places of its variables."""
    if isinstance(value, keras.Variable):
        return symbols[id(value)]
    if not isinstance(value, tuple):
        return value
    value = getattr(value, "__wrapped__", value)  # TensorFlow's, which tracks tuples
    items = [replaced(item, symbols) for item in value]
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def held(value: Any) -> list:
    """What an attribute holds, in lists, tuples and dicts, whose keys need no order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return [value]
    return [x for each in value for x in held(each)]


def untracked(layers: Any) -> str | None:
    """Says which variables of TensorFlow layers name, which Keras does not train."""
    names = [
        f"{type(layer).__name__}.{name}"
        for layer in layers
        for name, value in vars(layer).items()
        if name not in _BOOKS and any(isinstance(x, tf.Variable) for x in held(value))
    ]
    if not names:
        return None
    return (
        f"{some(names)}: Keras trains no tf.Variable, and in the opened model its "
        "numbers are constants; add_weight makes a weight"
    )


def put(container: Any, key: Any, value: Any) -> None:
    for inner in ("__wrapped__", "_storage"):  # TensorFlow's, which track as well
        container = getattr(container, inner, container)
    kind = list if isinstance(container, list) else dict
    kind.__setitem__(container, key, value)


def small_padding(layer: Any) -> str | None:
    """The padding of a layer of Keras in small letters, if it is not."""
    padding = getattr(layer, "padding", None)
    small = isinstance(padding, str) and padding.lower()
    return small if small and small != padding and of_keras(layer) else None


_PACKAGES = [f"/site-packages/{p}/" for p in (*KERAS, "numpy", "optree")]
_PACKAGES += [str(Path(__file__).parent), contextlib.__file__]


def own_line(frames: Any) -> str:
    """The first line that is neither of Keras and its like nor of this package.

    Args:
        frames: `(frame, line number)`, the innermost first.
    """
    for frame, number in frames:
        name = frame.f_code.co_filename
        if not any(p in name for p in _PACKAGES):
            return f"{Path(name).name}:{number}"
    return ""


def reason(layer: Any, error: Any, inputs: Any) -> str:
    """Why a class could not be followed: what happened, and in which line.

    Args:
        inputs: what it was called on; of the batch the size is always known.
    """
    lines = [s for s in str(error).splitlines() if s.strip()] or [type(error).__name__]
    ends = enumerate(lines[:-1], 1)
    causes = [0] + [k for k, s in ends if s.endswith("Error encountered:")]
    said = lines[causes[-1]].strip()  # Keras wraps what it met
    said = said.partition(". ")[0].rstrip(".")
    known = ("KerasTensor is symbolic", "used as a boolean", "as a Python `bool`")
    if any(text in said for text in known):
        said = "Python needs the values of a tensor, which no graph knows"
    if isinstance(error, TypeError) and "NoneType" in said:
        said = "computes with a size that is not known"
    line = own_line(reversed(list(traceback.walk_tb(error.__traceback__))))
    where = f" in {line}" if line else ""
    shapes = [tuple(getattr(x, "shape", ())) for x in keras.tree.flatten(inputs)]
    unknown = [s for s in shapes if None in s[1:]]
    sizes = f" (called on {unknown[0]}: say the sizes in `inputs`)" if unknown else ""
    return f"{type(layer).__name__}.call{where}: {said}{sizes}"


def dense(outputs: Any, inputs: Any) -> bool:
    """Takes back that Keras calls `2 * x` sparse whatever `x` is; whether it did."""
    wrong = not any(getattr(x, "sparse", False) for x in inputs)
    wrong = wrong and any(x.sparse for x in outputs)
    if wrong:
        for x in outputs:
            x._sparse = False
    return wrong


def is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic)) or tf.is_tensor(value)
