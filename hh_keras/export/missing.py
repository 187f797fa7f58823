"""What TensorFlow Lite cannot compute, in one line instead of its pages."""

import re
from pathlib import Path
from typing import Any

import keras

from hh_keras.export.checks import reason

_LISTED = re.compile(r"^(?:TF Select|Custom) ops: (.+)$", re.MULTILINE)

_STATE = re.compile(r"node (\S+)/(?:Read|Assign)VariableOp was passed")


def conversion_failure(
    model: keras.Model, path: str | Path, function: Any, error: Exception
) -> str:
    """Words the failure of a conversion.

    Args:
        model: the Keras model.
        path: where the file was to go.
        function: the concrete function that was converted.
        error: what the converter raised; its message is pages of MLIR.

    Returns:
        One line, which names the operations and the layers that they are of.
    """
    listed = _LISTED.findall(str(error))
    every = {kind.strip() for line in listed for kind in line.split(",")}
    kinds = sorted(every - {"Placeholder"})  # of a table, which is named itself
    kept = _STATE.search(str(error))
    if kept:
        layer = next(iter(_layer_of(kept[1], model)), kept[1])
        return (
            f"{model.name!r} cannot be converted to {path}: layer {layer!r} keeps a "
            "state from call to call (of random numbers, for instance), and a .tflite "
            "file keeps none. Leave it out of the exported model."
        )
    if not kinds:
        return f"{model.name!r} cannot be converted to {path}: {reason(error)}"
    named = [_with_layers(kind, model, function.graph) for kind in kinds[:4]]
    more = f" and {len(kinds) - 4} more" if len(kinds) > 4 else ""
    return (
        f"{model.name!r} cannot be converted to {path}: TensorFlow Lite has no "
        f"{', '.join(named)}{more}. Compute that in other operations, or outside of "
        "the exported model."
    )


def _with_layers(kind, model, graph):
    """An operation with the layers that it is of, as far as the graph tells."""
    names = [op.name for op in graph.get_operations() if op.type == kind]
    layers = {layer for name in names for layer in _layer_of(name, model)}
    if not layers:
        return kind
    return f"{kind} (layer {', '.join(map(repr, sorted(layers)[:3]))})"


def _layer_of(name, model):
    """The innermost layer in the path of an operation, a list of one or none."""
    known = {layer.name for layer in model._flatten_layers(include_self=False)}
    for part in reversed(name.split("/")):
        for each in (part, re.sub(r"_\d+$", "", part)):  # scopes are numbered
            if each in known:
                return [each]
    return []
