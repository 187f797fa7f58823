"""Which layers are classes that can be opened, and what they hold."""

import collections
import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.graph import calls
from hh_keras.graph.rules import find_rule

KERAS = ("keras", "tensorflow", "tf_keras")
_BOOKS = {"_trainable_variables", "_non_trainable_variables", "_layers", "_metrics"}
_BOOKS |= {"_tracker", "_seed_generators", "_losses", "_tracked"}

SEQUENTIAL = keras.Sequential.call


def opens(layer: Any, nested: Any, leaves: Any, wanted: Any) -> bool:
    """Whether a layer is a class of layers whose `call` somebody wrote.

    Layers of Keras itself and those that have a rule are not. Functional and Sequential
    models are, if something in them is; a Sequential model in a class is in any case,
    for its input may have been fixed by whatever it was called on first.

    Args:
        nested: whether it stands in such a class.
        leaves: whether layers that hold no layers count.
        wanted: `wanted(layer, nested)` says the same of the layers in it.
    """
    if find_rule(layer) is not None:
        return False
    if isinstance(layer, keras.Sequential) and nested:
        return True
    if is_graph(layer):
        inner = layer._flatten_layers(include_self=False, recursive=False)
        return any(wanted(x, False) for x in inner)
    if _of_keras(layer):
        return False
    inner = list(layer._flatten_layers(include_self=False))
    return bool(inner) or leaves or isinstance(layer, keras.Model)


def drawing_together(model: Any) -> set:
    """Layers that share a generator of random numbers, which copies could not."""
    holders = collections.defaultdict(set)
    for layer in model._flatten_layers():
        for generator in layer._seed_generators:
            holders[generator].add(layer)
    return {x for each in holders.values() if len(each) > 1 for x in each}


def is_graph(layer: Any) -> bool:
    return calls.is_graph(layer) or (
        isinstance(layer, keras.Sequential) and type(layer).call is SEQUENTIAL
    )


def _of_keras(layer):
    """Whether what a layer computes was written by Keras."""
    owner = next(c for c in type(layer).__mro__ if "call" in vars(c))
    return owner.__module__.split(".")[0] in KERAS


def in_turn(model: Any, x: Any, mask: Any) -> Any:
    for layer in model.layers:
        x = layer(x)
    return x


def variables_in(layer: Any, variable_of: Any = None) -> Iterator[tuple]:
    """Yields `(layer, container, key, variable)` of each variable that a layer names.

    `variable_of(value)` is the variable that a value stands for, or None.
    """
    if variable_of is None:

        def variable_of(value):
            return value if isinstance(value, keras.Variable) else None

    for name, value in vars(layer).items():
        if name in _BOOKS or name.startswith("_self_"):
            continue
        found = variable_of(value)
        if found is not None:
            yield layer, vars(layer), name, found
        items: list = []
        if isinstance(value, list):
            items = list(enumerate(value))
        elif isinstance(value, dict):
            items = list(value.items())
        for key, item in items:
            found = variable_of(item)
            if found is not None:
                yield layer, value, key, found


def put(container: Any, key: Any, value: Any) -> None:
    kind = list if isinstance(container, list) else dict
    kind.__setitem__(container, key, value)


def reason(layer: Any, error: Any) -> str:
    """Why a class could not be followed: what happened, and in which line."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    said = said.partition(". ")[0].rstrip(".")
    if "KerasTensor is symbolic" in said or "used as a boolean" in said:
        said = "Python needs the values of a tensor, which no graph knows"
    if isinstance(error, TypeError) and "NoneType" in said:
        said = "computes with a size that is not known; inputs of a given size help"
    packages = [f"/site-packages/{p}/" for p in (*KERAS, "numpy", "optree")]
    packages += [str(Path(__file__).parent), contextlib.__file__]
    frames = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(p in frame.filename for p in packages)
    ]
    where = f" in {frames[-1]}" if frames else ""
    return f"{type(layer).__name__}.call{where}: {said}"


def dense(outputs: Any, inputs: Any) -> None:
    """Takes back that Keras calls `2 * x` sparse whatever `x` is."""
    if not any(getattr(x, "sparse", False) for x in inputs):
        for x in outputs:
            x._sparse = False


def is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic)) or tf.is_tensor(value)
