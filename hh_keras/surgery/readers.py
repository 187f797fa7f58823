"""What reads channels through a kernel, as matrices: one row for each channel read.

`y = W x` summed over channels (and over the positions of a convolution's window) is
what compensation is about: if some channels go, the rows of those that stay can take
over what was predictable of the others. Channels of a convolution's window may be told
apart by where in it they are: then each has a row for each position.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.graph import calls
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.inference import infer
from hh_keras.graph.weights import variables
from hh_keras.surgery.windows import window


@dataclasses.dataclass(frozen=True, eq=False)
class Reader:
    """A kernel that reads channels.

    Attributes:
        path: name of its layer.
        op: the layer.
        weight: the kernel's name among the layer's weights.
        axis: of the kernel, along which channels are read.
        ids: int array `(rows,)`, the network channel that each row reads.
        input: `(position, axis)` of the call's tensor that holds the channels.
        outputs: the kernel's axis of output channels, or None if there is not one.
        groups: of a grouped convolution; the kernel then holds `rows / groups` rows.
        window: the extent of a kernel whose positions have rows of their own, all
            channels of the first position before those of the second; or ().
        part: attribute of the layer within `op` that has the kernel, if that is inside.
        rows: how many of the kernel's first axes its rows are, of such a kernel.
        bias: the name of that layer's bias among the weights, or None.
    """

    path: str
    op: Any
    weight: str
    axis: int
    ids: np.ndarray
    input: tuple
    outputs: Any
    groups: int = 1
    window: tuple = ()
    part: str = ""
    rows: int = 1
    bias: str | None = None

    @property
    def name(self) -> str:
        """That of the layer, and of the part in it."""
        return f"{self.path}.{self.part.strip('_')}" if self.part else self.path

    @property
    def positions(self) -> int:
        """How many rows each channel has."""
        return math.prod(self.window)

    def matrices(self, kernel: np.ndarray) -> list[np.ndarray]:
        """The kernel as a matrix for each group, `(rows of the group, columns)`.

        A Dense layer behind a Flatten reads a channel at every position: a position is
        like one of a convolution's window, so that its columns are further columns.
        """
        if self.window or self.part:
            return [kernel.reshape(len(self.ids), -1)]
        moved = np.moveaxis(kernel, self.axis, 0)
        if self.groups == 1:
            rows = len(self.ids)
            moved = moved.reshape(-1, rows, *moved.shape[1:])
            return [np.moveaxis(moved, 1, 0).reshape(rows, -1)]
        parts = np.split(kernel, self.groups, self.outputs)
        return [
            np.moveaxis(p, self.axis, 0).reshape(p.shape[self.axis], -1) for p in parts
        ]

    def kernel(self, matrices: list, shape: tuple) -> np.ndarray:
        """The kernel of a shape that such matrices come from."""
        if self.window or self.part:
            return matrices[0].reshape(shape)
        rest = [n for a, n in enumerate(shape) if a != self.axis]
        if self.groups == 1:
            rows = len(matrices[0])
            moved = matrices[0].reshape(rows, -1, *rest)
            moved = np.moveaxis(moved, 0, 1).reshape(-1, *rest)
            return np.moveaxis(moved, 0, self.axis)
        size = shape[self.outputs] // self.groups
        rest[self.outputs - (self.outputs > self.axis)] = size
        parts = [np.moveaxis(m.reshape(-1, *rest), 0, self.axis) for m in matrices]
        return np.concatenate(parts, self.outputs)

    def group_rows(self) -> list[np.ndarray]:
        """For each group, which of the rows of `ids` it reads."""
        return np.split(np.arange(len(self.ids)), self.groups)


def readers(channel_map: ChannelMap) -> list[Reader]:
    """The kernels of a traced model that read channels which may leave."""
    removable, found = channel_map.may_leave, []
    for path, op in calls.leaf_operations(channel_map.sites.model):
        site = channel_map.sites[path]
        if site.inside:
            found += _within(path, op, site, removable)
            continue
        contracts = [c for each in site.contracts.values() for c in each]
        if not site.kernels or not contracts or not removable[contracts[0][2]].any():
            continue
        position, axis, ids = contracts[0]
        (weight, along), *_ = site.kernels.items()
        if isinstance(along, dict):  # several axes of its input at once
            continue
        if weight == "depthwise_kernel":  # a separable convolution reads behind it
            weight, ids = "pointwise_kernel", site.weights["pointwise_kernel"][along]
        outputs, groups = _outputs(op, weight, along)
        if groups == 1:  # groups may read the same channels, each with its own rows
            ids = ids[: cycle(ids)]
        seen = window(op, len(ids))
        ids = np.tile(ids, math.prod(seen))
        place = position, axis
        found.append(Reader(path, op, weight, along, ids, place, outputs, groups, seen))
    return found


def _within(path, op, site, removable):
    """The kernels of the layers in a layer, such as attention."""
    names = {id(v): name for name, v in variables(op).items()}
    found = []
    for part, weight, ids, rows in site.inside:
        if removable[ids].any():
            bias = names.get(id(getattr(op, part).bias))
            reader = Reader(path, op, weight, 0, ids, (0, -1), None, part=part)
            found.append(dataclasses.replace(reader, rows=rows, bias=bias))
    return found


def tapped(op: Any, parts: Any, args: tuple, kwargs: dict) -> tuple:
    """Calls a layer and notes what layers within it read and put out.

    Args:
        op: the layer.
        parts: attributes of it.
        args, kwargs: of the call.

    Returns:
        What the call returns, and attribute → `(read, the same as a tensor of its own,
        put out)`.
    """
    seen: dict = {}

    def tap(part, layer):
        call = layer.call

        def noted(x, *args, **kwargs):
            own = tf.identity(x)
            seen[part] = x, own, call(own, *args, **kwargs)
            return seen[part][2]

        object.__setattr__(layer, "call", noted)

    layers = {part: getattr(op, part) for part in parts}
    try:
        for part, layer in layers.items():
            tap(part, layer)
        return infer(op, args, kwargs), seen
    finally:
        for layer in layers.values():
            vars(layer).pop("call", None)


def has_outputs(op: Any) -> bool:
    """Whether a layer's kernel has one axis of output channels, as its bias has."""
    return isinstance(op, keras.layers.Dense) or getattr(op, "rank", None) is not None


def is_linear(op: Any) -> bool:
    """Whether a layer puts out what its kernel makes, without an activation."""
    return getattr(op, "activation", None) in (None, keras.activations.linear)


def _outputs(op, weight, along):
    """The kernel's axis of output channels, and in how many groups they are."""
    if isinstance(op, keras.layers.Dense):
        return 1, 1
    if not has_outputs(op):
        return None, 1
    rank = op.rank
    groups = 1 if weight == "pointwise_kernel" else getattr(op, "groups", 1)
    return (rank if along == rank + 1 else rank + 1), groups


def cycle(ids: np.ndarray) -> int:
    """After how many ids they come again: a Flatten repeats them at every position."""
    for start in np.flatnonzero(ids == ids[0])[1:].tolist():
        if len(ids) % start == 0 and (ids[start:] == ids[:-start]).all():
            return start
    return len(ids)
