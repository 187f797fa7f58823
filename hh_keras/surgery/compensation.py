"""Compensation: what removed channels carried is folded into those that stay.

A channel that leaves takes with it what its readers made of it. As far as it can be
predicted from channels that stay, linearly and from calibration data, the kernels that
read those take it over: one least-squares solve for each kernel, no training.
"""

import collections
from typing import Any

import keras
import numpy as np

from hh_keras.graph import calls
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.program import program
from hh_keras.graph.weights import variables
from hh_keras.surgery import gains
from hh_keras.surgery.least_squares import best_ridge, inverse, remove
from hh_keras.surgery.moments import LARGEST, Moments
from hh_keras.surgery.readers import Reader, has_outputs, is_linear, readers


def compensate(
    model: keras.Model,
    small: keras.Model,
    channel_map: ChannelMap,
    keep: np.ndarray,
    moments: dict[str, Moments],
) -> keras.Model:
    """Gives a rebuilt network the weights that make up for what it lost.

    Args:
        model: the original, as it was traced.
        small: `rebuild(model, plan)`, with inherited weights; they are changed.
        channel_map: of the original.
        keep: bool `(channel_map.size,)`, the plan's channels.
        moments: of the original, by layer, see `hh_keras.surgery.moments.collect`.

    Returns:
        `small`.
    """
    return put(small, channel_map, keep, solutions(model, channel_map, keep, moments))


def solutions(
    model: keras.Model,
    channel_map: ChannelMap,
    keep: np.ndarray,
    moments: dict[str, Moments],
) -> dict[str, list[np.ndarray]]:
    """Of each kernel that loses channels, the matrices with which it does without.

    Args:
        model, channel_map, keep, moments: as above.

    Returns:
        Layer name → matrices, see `solve`.
    """
    homes, keep = constants(model), channel_map.whole(keep)
    return {
        reader.name: solve(reader, keep, moments[reader.name], home_of(reader, homes))
        for reader in readers(channel_map)
        if not keep[reader.ids].all() and len(reader.ids) <= LARGEST
    }


def put(
    small: keras.Model,
    channel_map: ChannelMap,
    keep: np.ndarray,
    solved: dict[str, list[np.ndarray]],
) -> keras.Model:
    """Writes `solutions` into a rebuilt network, which it returns."""
    homes, keep = constants(channel_map.sites.model), channel_map.whole(keep)
    layers = dict(calls.leaf_operations(small))
    for reader in readers(channel_map):
        if reader.name in solved:
            home = home_of(reader, homes)
            write(reader, solved[reader.name], channel_map, keep, layers, home)
    return small


def solve(
    reader: Reader, keep: np.ndarray, moments: Moments, home: Any
) -> list[np.ndarray]:
    """A kernel's matrices, of the original's size, when only some channels stay.

    Args:
        reader: the kernel.
        keep: bool, of all channels, those that stay.
        moments: of what it reads in the original.
        home: where its constant goes, see `constants`; None if there is no place.
    """
    gone = ~keep[reader.ids]
    return [
        _solved(matrix, gone[rows], _of_rows(moments, rows), home)
        for matrix, rows in zip(parts(reader, home), reader.group_rows())
    ]


def parts(reader: Reader, home: Any) -> list[np.ndarray]:
    """The kernel's matrices, with a row of zeros for the constant if it has a home."""
    kernel = np.asarray(variables(reader.op)[reader.weight], "float64")
    matrices = reader.matrices(kernel)
    if home is None:
        return matrices
    return [np.vstack([m, np.zeros((1, m.shape[1]))]) for m in matrices]


def _of_rows(moments, rows):
    """The moments of some of the rows, and the ones."""
    rows = np.append(rows, -1)
    return moments.halves[:, rows][:, :, rows], moments.counts


def _solved(matrix, gone, moments, home):
    if not gone.any():
        return matrix
    halves, counts = moments
    ones = home is not None
    if not ones:
        halves = halves[:, :-1, :-1]
    removed = np.append(gone, False) if ones else gone
    importance = matrix[removed] @ matrix[removed].T
    ridge, _ = best_ridge(halves, removed, importance, ones)
    if not np.isfinite(ridge):
        return np.where(removed[:, None], 0, matrix)
    whole = np.tensordot(counts / counts.sum(), halves, 1)
    return remove(inverse(whole, ridge, ones), matrix, np.flatnonzero(removed))[1]


def write(
    reader: Reader,
    matrices: list[np.ndarray],
    channel_map: ChannelMap,
    keep: np.ndarray,
    layers: dict,
    home: Any,
) -> None:
    """Writes a kernel's matrices into the small network.

    Args:
        reader: the kernel.
        matrices: of the original's size, the last row of each the constant's if it has
            a home.
        channel_map, keep: as above.
        layers: layer name → layer of the small network.
        home: where the constant goes, see `constants`.
    """
    if reader.part:
        return _write_within(reader, matrices[0], channel_map, keep, layers)
    op = layers[reader.path]
    variable = variables(op)[reader.weight]
    axes = list(channel_map.sites[reader.path].weights[reader.weight])
    shape = [
        len(keep[ids]) if ids is not None else n
        for ids, n in zip(
            axes, channel_map.sites[reader.path].weight_shapes[reader.weight]
        )
    ]
    stay = [
        matrix[:-1][keep[reader.ids[rows]]] if home else matrix[keep[reader.ids[rows]]]
        for matrix, rows in zip(matrices, reader.group_rows())
    ]
    rows = len(reader.ids) // reader.groups
    shape[reader.axis] = shape[reader.axis] * len(stay[0]) // rows
    kernel = reader.kernel(stay, tuple(shape))
    for axis, ids in enumerate(axes):
        if axis != reader.axis and ids is not None:
            kernel = np.compress(keep[ids], kernel, axis)
    variable.assign(kernel)
    if home is not None:
        constant = np.concatenate([_per_output(m[-1], reader, shape) for m in matrices])
        ids = axes[reader.outputs]
        constant = constant if ids is None else constant[keep[ids]]
        path, name, sign = home
        original = dict(calls.leaf_operations(channel_map.sites.model))[path]
        before = np.asarray(variables(original)[name])
        before = before if ids is None else before[keep[ids]]
        variables(layers[path])[name].assign(before + sign * constant)


def _write_within(reader, matrix, channel_map, keep, layers):
    """The same of a kernel inside a layer: its constant goes to the bias beside it."""
    site = channel_map.sites[reader.path]
    new, old = variables(layers[reader.path]), variables(reader.op)
    rows = len(reader.ids)

    def put(name, value):
        for axis, ids in enumerate(site.weights[name]):
            value = value if ids is None else np.compress(keep[ids], value, axis)
        gain = 1.0
        if name in site.gains:
            ids, exponent = site.gains[name]
            gain = keep[ids].mean() ** exponent
        new[name].assign(value * gain)

    put(reader.weight, matrix[:rows].reshape(site.weight_shapes[reader.weight]))
    if reader.bias is not None:
        before = np.asarray(old[reader.bias])
        put(reader.bias, before + matrix[rows].reshape(before.shape))


def home_of(reader: Reader, homes: dict) -> Any:
    """Where a kernel's constant goes: one of `constants`, or the bias beside it."""
    if not reader.part:
        return homes.get(reader.path)
    return None if reader.bias is None else (reader.path, reader.bias, 1)


def _per_output(constants, reader, shape):
    """The sum over the window's positions of what is constant, for each output."""
    if reader.window:
        return constants
    rest = [n for axis, n in enumerate(shape) if axis != reader.axis]
    at = reader.outputs - (reader.outputs > reader.axis)
    rest[at] //= reader.groups
    constants = constants.reshape(-1, *rest)
    return constants.sum(tuple(a for a in range(constants.ndim) if a != at + 1))


def _mends(norm: Any, op: Any) -> bool:
    """Whether a BatchNormalization's mean is what a kernel's bias would be."""
    if not isinstance(norm, keras.layers.BatchNormalization) or not is_linear(op):
        return False
    rank = norm.input_spec.ndim
    first = getattr(op, "data_format", None) == "channels_first"
    axis = norm.axis if isinstance(norm.axis, int) else norm.axis[0]  # of old files
    return axis % rank == (1 if first else rank - 1)


def constants(model: keras.Model) -> dict:
    """Where the constant part of what a kernel puts out can be kept.

    Returns:
        Layer name → `(layer name, weight, sign)`: its own bias, or the mean of the
        BatchNormalization that alone reads it; layers without either are missing.
    """
    whole = program(model)
    read: dict = {value: [None] for value in whole.outputs}
    for step in whole.steps:
        for value in step.reads:
            read.setdefault(value, []).append(step)
    times = collections.Counter(step.path for step in whole.steps)
    found: dict[str, tuple] = {}
    for step in whole.steps:
        if gains.takes(step.op) and getattr(step.op, "beta", None) is not None:
            found[step.path] = step.path, "beta", 1
        if not has_outputs(step.op):
            continue
        behind = read.get(step.outputs[0], [])
        if calls.is_layer(step.op) and getattr(step.op, "bias", None) is not None:
            found[step.path] = step.path, "bias", 1
        elif len(behind) == 1 and times[step.path] == 1:
            (norm,) = behind
            if _mends(getattr(norm, "op", None), step.op) and times[norm.path] == 1:
                found[step.path] = norm.path, "moving_mean", -1
    return found
