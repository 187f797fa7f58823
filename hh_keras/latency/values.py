"""A network's calls, with the channels of every tensor, wherever they lie in it."""

import collections
import dataclasses
from typing import Any

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.tracing import input_shapes


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the network.

    Attributes:
        shape: without the batch.
        ids: network channels, int array of the same rank, with size 1 along axes that
            hold the same everywhere, negative where there is none; None if there is
            none at all.
        maker: index of the step that makes it, None for an input.
        dtype: of its numbers.
        axes: along which the channels lie; the last if there are none, and none of
            them is 1 long.
        batch: where the batch lies in the tensor; None if it has none.
        constant: whether it depends on weights alone.
    """

    shape: tuple
    ids: Any
    maker: int | None
    dtype: str
    axes: tuple
    batch: int | None = 0
    constant: bool = False

    def whole(self, batch: Any) -> tuple:
        """The tensor's shape, with the batch."""
        if self.batch is None:
            return self.shape
        return (*self.shape[: self.batch], batch, *self.shape[self.batch :])


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One call of one operation, with `Value` in place of tensors."""

    path: str
    op: Any
    args: tuple
    kwargs: dict
    inputs: tuple
    output: Value


def steps_of(
    model: keras.Model, channel_map: ChannelMap, input_shape: tuple | None
) -> list[Step]:
    """The calls of a model in their order, with `Value` in place of tensors.

    Raises:
        ModelError: spatial sizes are unknown.
    """
    graph = calls.as_graph(model)
    shapes = [shape[1:] for shape in input_shapes(graph, input_shape)]
    found: list[Step] = []
    number: collections.Counter = collections.Counter()

    def value(whole, ids, tensor, constant):
        batch = _batch(tuple(tensor.shape), constant)
        shape = tuple(n for axis, n in enumerate(whole) if axis != batch)
        ids, axes = _channels(ids, batch, shape, channel_map)
        return Value(shape, ids, len(found), tensor.dtype, axes, batch, constant)

    def step(path, call, args, kwargs):
        values = [v for v in keras.tree.flatten((args, kwargs)) if isinstance(v, Value)]
        shapes = _output_shapes(call, args, kwargs, values)
        channels = channel_map.sites.tensors(path)[number[path]]
        number[path] += 1
        constant = type(call.op).__name__ == "Weight" or (
            bool(values) and all(v.constant for v in values)
        )
        outputs = [
            value(shape, ids, tensor, constant)
            for shape, ids, tensor in zip(shapes, channels, call.outputs, strict=True)
        ]
        if None in outputs[0].shape:
            raise ModelError(
                f"layer '{path}' of '{model.name}' puts out {outputs[0].shape}: its "
                "latency depends on the image size. Give input_shape."
            )
        found.append(Step(path, call.op, args, kwargs, tuple(values), outputs[0]))
        return outputs

    inputs = [
        Value(shape, None, None, tensor.dtype, tuple(range(len(shape)))[-1:])
        for shape, tensor in zip(shapes, graph.inputs, strict=True)
    ]
    calls.interpret(model, inputs, step)
    return found


def _batch(shape, constant):
    """The axis of the batch: the unknown one; a constant may have none."""
    if None not in shape:
        return None if constant and shape[:1] != (1,) else 0
    return shape.index(None) if shape.count(None) == 1 else 0


def _channels(ids, batch, shape, channel_map):
    """`(ids, axes)` of a `Value` from the ids of a tensor."""
    last = tuple(range(len(shape)))[-1:] if 1 not in shape else ()
    rank = len(shape) + (batch is not None)
    if ids.ndim != rank or (batch is not None and ids.shape[batch] > 1):
        return None, last
    ids = ids if batch is None else ids.take(0, batch)
    if (ids < 0).all():
        return None, last
    if ids.size > 1:
        return ids, tuple(axis for axis, n in enumerate(ids.shape) if n > 1)
    (groups,) = groups_of(ids.reshape(-1), channel_map)
    if all(channel_map.groups[g].frozen for g in groups):
        return None, last
    last = len(shape) - 1  # the last channel of its group
    return ids, (last,) if shape[-1:] == (1,) else ()


def _output_shapes(call, args, kwargs, values):
    """With the batch."""
    known = [tuple(t.shape) for t in call.outputs]
    if all(shape.count(None) < 2 for shape in known):
        return known

    def symbolic(x):
        return keras.KerasTensor(x.whole(1)) if isinstance(x, Value) else x

    args, kwargs = keras.tree.map_structure(symbolic, (args, kwargs))
    spec = call.op.compute_output_spec(*args, **kwargs)
    return [tuple(t.shape) for t in keras.tree.flatten(spec)]


def groups_of(ids: np.ndarray, channel_map: ChannelMap) -> dict[tuple, int]:
    """Groups → how many of the ids are channels of theirs, or products of those.

    Args:
        ids: network channels; what is negative is left out.
        channel_map: the network's.
    """
    size, products = channel_map.size, channel_map.products
    ids = ids[ids >= 0]
    of = np.full((len(ids), max(1, products.shape[1])), -1)
    of[:, 0] = ids
    if (ids >= size).any():
        of[ids >= size] = products[ids[ids >= size] - size]
    starts = np.array([g.ids.start for g in channel_map.groups], int)
    groups = np.where(of < 0, -1, np.searchsorted(starts, of, side="right") - 1)
    rows, numbers = np.unique(groups, axis=0, return_counts=True)
    known = [tuple(g for g in row if g >= 0) for row in rows.tolist()]
    return dict(zip(known, numbers.tolist()))
