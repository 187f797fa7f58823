"""What every export asks of a model, and how it words a failure."""

import re
from pathlib import Path
from typing import Any

import keras

from hh_keras.errors import ModelError
from hh_keras.graph.calls import as_graph

_LONGEST = 300  # characters


def check_built(model: keras.Model) -> None:
    """Raises ModelError unless a model has known inputs."""
    if not getattr(model, "inputs", None) or not model.built:
        raise ModelError(
            f"{model.name!r} has no known inputs; only built functional or sequential "
            "models can be exported. Start it with keras.Input."
        )


def failed(model: keras.Model, path: str | Path, error: Exception) -> str:
    """Words the failure of an export."""
    return f"{model.name!r} cannot be exported to {path}: {reason(error)}"


def reason(error: Exception) -> str:
    """The one line of an error that says something; the rest stays in the error.

    TensorFlow's messages go on with places in its own code, Keras' with the arguments
    of the call.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    text = re.split(r"Arguments received by|loc\(|[^\s]+\.py:\d+", text)[0]
    text = " ".join(text.split()).rstrip(" :") or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def structure(model: keras.Model) -> tuple[Any, Any]:
    """The structures of a model's inputs and outputs, of symbolic tensors.

    A Sequential that was never called has none of its own.
    """
    graph = as_graph(model) if isinstance(model, keras.Sequential) else model
    return graph.input, graph.output
