"""Names of what comes out of a class: readable, unique, legal.

Keras forbids `/` in names, so a path is written with dots, as in Python:
`block_3.conv_1` is the layer `conv_1`, or `self.conv_1`, of the block `block_3`.
"""

import re
from typing import Any

from keras.src.utils.naming import to_snake_case

from hh_keras.graph import calls
from hh_keras.graph.opening.openable import is_graph


class Names:
    """The names that are taken in a model."""

    def __init__(self, taken: Any = ()) -> None:
        self.taken = set(taken)

    def free(self, name: Any) -> str:
        """Takes `name`, or the first of `name_1`, `name_2` … that is free."""
        name = re.sub(r"[^A-Za-z0-9_.\-]", "_", name).lstrip("_") or "layer"
        new, k = name, 0
        while new in self.taken:
            k += 1
            new = f"{name}_{k}"
        self.taken.add(new)
        return new

    def within(self, scope: Any, name: Any, owner: Any = None) -> str:
        """A name for something that is no layer, in the innermost class of `scope`."""
        scope = tuple(scope)
        if owner is not None and owner in scope:
            scope = scope[: scope.index(owner) + 1]
        elif owner is not None:
            scope = (*scope, owner)
        return self.free(".".join([*_path(scope), name]))

    def of(self, op: Any, scope: Any) -> str:
        """A name for an operation that is called in `scope`."""
        return self.free(".".join([*_path(scope), _label(op, scope)]))


def _path(scope):
    return [_label(scope[k], scope[:k]) for k in range(1, len(scope))]


def _label(op, scope):
    """What somebody who reads the innermost class would call it."""
    kind = to_snake_case(type(op).__name__)
    if not calls.is_layer(op):
        kind = getattr(op, "function", "").split(".")[-1] or kind
    if all(is_graph(s) for s in scope):
        return op.name
    automatic = re.fullmatch(rf"{to_snake_case(type(op).__name__)}(_\d+)?", op.name)
    if not calls.is_layer(op) or not automatic:
        return op.name if calls.is_layer(op) else kind
    for owner in reversed(scope):
        name = _attribute(owner, op)
        if name is not None:
            return name.strip("_")
    return kind


def _attribute(owner, layer):
    """Under which name a layer is an attribute of another one."""
    if is_graph(owner):
        return None
    for name, value in vars(owner).items():
        if name in ("_layers", "_tracker", "_metrics") or name.startswith("_self_"):
            continue
        if value is layer:
            return name
        items = ()
        if isinstance(value, (list, tuple)):
            items = enumerate(value)
        elif isinstance(value, dict):
            items = value.items()
        for key, item in items:
            if item is layer:
                return f"{name}_{key}"
    return None
