"""How a model ends: its outputs, and whether they are logits or probabilities."""

import collections
from collections.abc import Sequence
from typing import Any

import keras

from hh_keras.errors import ModelError
from hh_keras.graph.calls import as_graph

_NORMALISED = ("softmax", "sigmoid")


def known_outputs(model: keras.Model) -> list:
    """Returns the outputs of a model, symbolic tensors, flat.

    Raises:
        ModelError: the model was never built, or is subclassed.
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
    return list(outputs)


def single_output(model: keras.Model) -> Any:
    """Returns the one output of a model, a symbolic tensor.

    Raises:
        ModelError: the model was never built, is subclassed, or has several outputs.
    """
    outputs = known_outputs(model)
    if len(outputs) != 1:
        raise ModelError(
            f"model {model.name!r} has {len(outputs)} outputs "
            f"({', '.join(output_names(model))}); a model with exactly one is needed."
        )
    return outputs[0]


def output_names(model: keras.Model) -> list[str]:
    """Names of a model's outputs as Keras has them, in the order of `model.outputs`.

    Those of a dict are its keys, "outer/inner" in nested ones; those of a list are the
    layers' names, numbered where they are the same.
    """
    graph = as_graph(model)
    paths = [path for path, _ in keras.tree.flatten_with_path(graph._outputs_struct)]
    if any(isinstance(key, str) for path in paths for key in path):
        return ["/".join(map(str, path)) for path in paths]
    names = [tensor._keras_history.operation.name for tensor in graph.outputs]
    times = collections.Counter(names)
    return [n if times[n] == 1 else f"{n}_{k}" for k, n in enumerate(names)]


def structured(model: keras.Model, outputs: Sequence) -> Any:
    """Flat values in the structure of a model's outputs; one output is by itself."""
    if len(outputs) == 1:
        return outputs[0]
    return keras.tree.pack_sequence_as(as_graph(model)._outputs_struct, list(outputs))


def from_logits(model: keras.Model) -> bool:
    """Whether a classifier ends in logits rather than in probabilities.

    The last operation decides: a layer with a softmax or sigmoid activation, or
    such a layer itself, makes probabilities. Linear activations and reshapes
    after it are looked through, nested models are looked into.

    Args:
        model: a functional or sequential Keras model with one output.

    Returns:
        False for a model that ends in softmax or sigmoid, True for all others.
    """
    return ends_in(single_output(model)) is None


def gives_classes(output: Any) -> bool:
    """Whether an output is a choice: `(batch, classes)`, not of sigmoids."""
    several = len(output.shape) == 2 and output.shape[-1] != 1
    return several and ends_in(output) != "sigmoid"


def ends_in(tensor: Any) -> str | None:
    """Whether an output is made by "softmax" or "sigmoid"; None for anything else."""
    kind = _last_activation(tensor)
    return kind if kind in _NORMALISED else None


def ends_linear(tensor: Any) -> bool:
    """Whether a layer that has an activation makes an output without one: logits."""
    return _last_activation(tensor) == "linear"


def _last_activation(tensor):
    """Name of what makes an output, as far as a layer tells; None if none does."""
    operation, node_index, index = tensor._keras_history
    if isinstance(operation, keras.Model):
        outputs = getattr(operation, "outputs", None)
        return _last_activation(outputs[index]) if outputs else None
    name = type(operation).__name__.lower()
    activation = getattr(operation, "activation", None)
    activation_name = getattr(activation, "__name__", type(activation).__name__).lower()
    for kind in _NORMALISED:
        if kind in (name, activation_name):
            return kind
    passes = name == "activation" and activation_name == "linear"
    if passes or name in ("flatten", "reshape", "identity", "dropout", "upsampling2d"):
        before = operation._inbound_nodes[node_index].input_tensors[0]
        return _last_activation(before)
    return activation_name if activation is not None else None
