"""Where a network's features of each stride can be taken, whatever the network."""

import keras

from hh_keras.errors import ModelError
from hh_keras.graph import calls

_WIDE = 2  # times the narrowest; wider ones are the inside of a bottleneck
_LEAST = 4  # cells a side


def levels(model: keras.Model) -> dict[int, keras.KerasTensor]:
    """The features of each stride, taken where everything passes.

    Of the tensors that all later ones depend on alone (not the inside of a block with a
    shortcut), the last that has at most twice the channels of the narrowest.

    Args:
        model: functional, from images of a known size to anything.

    Returns:
        Stride → symbolic tensor `(batch, height, width, channels)`, increasing.

    Raises:
        ModelError: it does not take one image of a known size.
    """
    shape = tuple(model.inputs[0].shape)
    if len(model.inputs) != 1 or len(shape) != 4 or None in shape[1:]:
        raise ModelError(
            f"model '{model.name}' takes inputs of shape {shape}; features can be "
            "taken of one image of a known size."
        )
    found: dict[int, list] = {}
    for tensor in _passages(model):
        sides = tuple(tensor.shape[1:3])
        if len(tensor.shape) != 4 or None in sides or min(sides) < _LEAST:
            continue
        strides = {own // side for own, side in zip(shape[1:3], sides)}
        exact = all(own % side == 0 for own, side in zip(shape[1:3], sides))
        if len(strides) == 1 and exact and tensor.shape[-1] > shape[-1]:
            found.setdefault(strides.pop(), []).append(tensor)
    return {stride: _last_narrow(found[stride]) for stride in sorted(found)}


def _last_narrow(tensors):
    least = min(tensor.shape[-1] for tensor in tensors)
    return [t for t in tensors if t.shape[-1] <= _WIDE * least][-1]


def _passages(model):
    """Tensors that are, when they are made, the only ones still to be used."""
    graph = calls.as_graph(model)
    every = calls.calls(graph)
    uses: dict[int, int] = {}
    for call in every:
        for tensor in call.inputs:
            uses[id(tensor)] = uses.get(id(tensor), 0) + 1
    open_ = {id(t): uses.get(id(t), 0) for t in graph.inputs}
    for call in every:
        for tensor in call.inputs:
            open_[id(tensor)] -= 1
            if not open_[id(tensor)]:
                del open_[id(tensor)]
        for tensor in call.outputs:
            open_[id(tensor)] = uses.get(id(tensor), 0)
        if len(open_) == 1 and len(call.outputs) == 1:
            yield call.outputs[0]
