"""How a model ends: its one output, and whether that is logits or probabilities."""

from typing import Any

import keras

from hh_keras.errors import ModelError

_NORMALISED = ("softmax", "sigmoid")


def single_output(model: keras.Model) -> Any:
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


def gives_classes(model: keras.Model) -> bool:
    """Whether a model's one output is a choice: `(batch, classes)`, not of sigmoids."""
    output = single_output(model)
    several = len(output.shape) == 2 and output.shape[-1] != 1
    return several and ends_in(output) != "sigmoid"


def ends_in(tensor: Any) -> str | None:
    """Whether an output is made by "softmax" or "sigmoid"; None for anything else."""
    operation, node_index, index = tensor._keras_history
    if isinstance(operation, keras.Model):
        outputs = getattr(operation, "outputs", None)
        return ends_in(outputs[index]) if outputs else None
    name = type(operation).__name__.lower()
    activation = getattr(operation, "activation", None)
    activation_name = getattr(activation, "__name__", type(activation).__name__).lower()
    for kind in _NORMALISED:
        if kind in (name, activation_name):
            return kind
    passes = name == "activation" and activation_name == "linear"
    if passes or name in ("flatten", "reshape", "identity", "dropout", "upsampling2d"):
        return ends_in(operation._inbound_nodes[node_index].input_tensors[0])
    return None
