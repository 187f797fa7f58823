"""What every export asks of a model, and how it words a failure."""

from pathlib import Path
from typing import Any

import keras

from hh_keras.errors import ModelError
from hh_keras.graph.calls import as_graph


def check_built(model: keras.Model) -> None:
    """Raises ModelError unless a model has known inputs."""
    if not getattr(model, "inputs", None) or not model.built:
        raise ModelError(
            f"{model.name!r} has no known inputs; only built functional or sequential "
            "models can be exported. Start it with keras.Input."
        )


def failed(model: keras.Model, path: str | Path, error: Exception) -> str:
    """Words the failure of an export."""
    reason = " ".join(str(error).split())[:400]
    return f"{model.name!r} cannot be exported to {path}: {reason}"


def structure(model: keras.Model) -> tuple[Any, Any]:
    """The structures of a model's inputs and outputs, of symbolic tensors.

    A Sequential that was never called has none of its own.
    """
    graph = as_graph(model) if isinstance(model, keras.Sequential) else model
    return graph.input, graph.output
