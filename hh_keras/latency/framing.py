"""A unit between layers that make its channels and one that reads them.

So it can be widened and shrunk as every network is, whatever its layers are, wherever
its channels lie; then the frame is taken off.
"""

import math
from typing import Any

import keras
import numpy as np

from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.cloning import clone_op
from hh_keras.graph.tracing import trace
from hh_keras.latency.units import Unit
from hh_keras.latency.values import Value, groups_of
from hh_keras.surgery.plan import Plan
from hh_keras.surgery.rebuild import rebuild, widen

_SHARES = 64  # that are tried


def resized(unit: Unit, n_in: int, n_out: int) -> keras.Model:
    """Makes a Keras model of one unit with about the given channel counts.

    Args:
        unit: what `units` found.
        n_in, n_out: channels that go in and come out, see `counts`; `n_in` counts only
            if the unit contracts. Where heads, groups or planes do not let it have just
            these, it has the nearest.

    Raises:
        ModelError: a layer cannot be made again.
    """
    framed, ends = _framed(unit)
    channel_map = trace(framed)
    wanted = (n_in if unit.contracts else None, n_out)
    sides = _terms(channel_map, ends)
    factor = _missing(channel_map, sides, wanted)
    if factor > 1:
        framed = widen(framed, factor)
        channel_map = trace(framed)
        sides = _terms(channel_map, ends)
    kept = _nearest(channel_map, sides, wanted)
    keep = np.zeros(channel_map.size, bool)
    for group, n in zip(channel_map.groups, kept):
        keep[group.ids.start : group.ids.start + n] = True
    small = rebuild(framed, Plan.of(channel_map, keep), "fresh", 0)
    sources, last = ends
    made = {op.name: op.output for op in small.operations}
    end = keras.tree.flatten(made[last])[0]
    return keras.Model([made[name] for name in sources], end)


def _framed(unit):
    """`(model, (names of the operations before the unit, name of its last))`."""
    tensors, inputs, sources = {}, [], []
    for value in unit.inputs:
        if id(value) not in tensors:
            given, tensor = _source(value, f"frame_{len(sources)}")
            inputs.append(given)
            sources.append(tensor._keras_history.operation.name)
            tensors[id(value)] = tensor

    def tensor(x):
        return tensors[id(x)] if isinstance(x, Value) else x

    for step in unit.steps:
        args, kwargs = keras.tree.map_structure(tensor, (step.args, step.kwargs))
        result = clone_op(step.op)(*args, **kwargs)
        tensors[id(step.output)] = keras.tree.flatten(result)[0]
    end = tensors[id(unit.output)]
    model = keras.Model(inputs, _sink(end, unit.output))
    return model, (sources, end._keras_history.operation.name)


def _source(value, name):
    """An input, and a tensor of the value's shape; a layer makes its channels of it."""
    if value.ids is None:
        given = keras.Input(batch_shape=value.whole(None), dtype=value.dtype, name=name)
        return given, given
    rest, axes = _apart(value)
    sizes = [value.shape[a] for a in axes]
    given = keras.Input([*(value.shape[a] for a in rest), 1], name=f"{name}_input")
    x = keras.layers.Dense(math.prod(sizes), name=f"{name}_made")(given)
    x = keras.ops.reshape(x, (-1, *(value.shape[a] for a in rest), *sizes))
    order = [1 + a for a in np.argsort([*rest, *axes]).tolist()]
    order.insert(value.batch or 0, 0)
    x = keras.ops.transpose(x, order)
    return given, keras.layers.Activation("linear", name=name)(x)


def _sink(x, value):
    """What reads all the channels, so that they may leave."""
    if value.ids is None:
        return keras.layers.Activation("linear", name="frame_end")(x)
    rest, axes = _apart(value)
    batch = value.batch or 0
    order = [a + (a >= batch) for a in (*rest, *axes)]
    x = keras.ops.transpose(x, [batch, *order])
    channels = math.prod(value.shape[a] for a in axes)
    x = keras.ops.reshape(x, (-1, *(value.shape[a] for a in rest), channels))
    return keras.layers.Dense(1, name="frame_end")(x)


def _apart(value):
    """Axes without and with channels."""
    every = range(len(value.shape))
    return [a for a in every if a not in value.axes], list(value.axes)


def _terms(channel_map: ChannelMap, ends: Any) -> list[dict]:
    """Groups → number of channels, of those that go in and of those that come out."""
    sources, last = ends
    sites = channel_map.sites
    tensors = [sites.tensors(name)[0][0] for name in sources if name in sites]
    out = sites.tensors(last)[0][0]
    found: list[dict] = [{}, {}]
    for side, arrays in enumerate((tensors, [out])):
        for ids in arrays:
            for groups, n in groups_of(ids.reshape(-1), channel_map).items():
                found[side][groups] = found[side].get(groups, 0) + n
    return found


def _number(terms, shares):
    return sum(n * math.prod(shares[g] for g in groups) for groups, n in terms.items())


def _missing(channel_map, sides, wanted):
    """How many times wider it has to be."""
    whole = np.ones(len(channel_map.groups))
    ratios = [n / max(1, _number(t, whole)) if n else 0 for t, n in zip(sides, wanted)]
    out = {g for groups in sides[1] for g in groups}
    if any(out & set(groups) for groups in sides[0]):  # numbers of heads, and heads
        ratios.append(ratios[0] / ratios[1])
    return max(ratios)


def _nearest(channel_map, sides, wanted):
    """Kept channels of each group, nearest to the wanted counts, of as equal shares."""
    sizes = np.array([len(g) for g in channel_map.groups])
    free = [g for g, each in enumerate(channel_map.groups) if not each.frozen]
    pairs = [(t, n) for t, n in zip(sides, wanted) if n and t]
    out = {g for groups in sides[1] for g in groups}

    def error(shares):
        return sum((_number(terms, shares) / n - 1) ** 2 for terms, n in pairs)

    shares = np.ones(len(sizes))
    for own, terms, n in ((True, sides[1], wanted[1]), (False, sides[0], wanted[0])):
        if n and terms:
            which = [g for g in free if (g in out) == own]
            every = np.tile(shares, (_SHARES, 1))
            every[:, which] = np.linspace(1 / _SHARES, 1, _SHARES)[:, None]
            numbers = np.array([_number(terms, each) for each in every])
            shares = every[int(np.argmin(abs(numbers - n)))]
    kept = np.maximum(1, np.rint(shares * sizes)).astype(int)
    for g in sorted(free, key=lambda g: -sizes[g]):  # what rounding left
        every = np.tile(kept / sizes, (sizes[g], 1))
        every[:, g] = np.arange(1, sizes[g] + 1) / sizes[g]
        kept[g] = 1 + int(np.argmin([error(each) for each in every]))
    return kept
