"""A network as the units that a runtime runs: layers that it fuses stay together."""

import dataclasses
import json
import math
from typing import Any

import keras
import numpy as np

from hh_keras.graph import calls
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.opening.inline import ordinary
from hh_keras.graph.tracing import trace
from hh_keras.latency.values import groups_of, steps_of

_FREE = (
    "Dropout", "SpatialDropout2D", "Flatten", "Reshape", "Identity", "InputLayer",
)  # fmt: skip
_JOINS = (
    "BatchNormalization", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU",
    "HardSwish", "Silu", "Relu", "Relu6", "HardSigmoid", "Sigmoid",
)  # fmt: skip
_PADDED = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D")
_NOT_OF_A_KIND = (
    "name", "trainable", "dtype", "build_config", "filters", "units", "seed",
    "momentum", "rate", "noise_shape", "synchronized", "epsilon",
    "quantization_config", "lora_rank", "lora_alpha", "dropout", "num_heads",
    "num_query_heads", "num_key_value_heads", "key_dim", "value_dim", "head_dim",
    "output_shape",
)  # fmt: skip
_DRAWN = ("_initializer", "_regularizer", "_constraint")
_OF_OPERATIONS = ("subscripts", "axes")  # attributes on which their speed depends
# Layers of attention → entries of the config: heads, and the numbers of each.
ATTENTION = {
    "MultiHeadAttention": ("num_heads", ("key_dim", "value_dim")),
    "GroupedQueryAttention": ("num_query_heads", ("head_dim", "head_dim")),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Unit:
    """Calls that a runtime runs as one, such as a convolution with its activation.

    Attributes:
        steps: tuple of `Step`, each fed by the one before, the first by `inputs`.
        key: what it costs is the same for all units of this key and equal counts.
        contracts: whether it takes in channels that it does not put out, so that input
            and output counts both matter; otherwise the output's alone.
        multiplies: whether it multiplies what comes in by another that comes in.
        inner: what counts for the input of attention: tuples of id arrays, of heads and
            of the numbers of each, whose counts are multiplied, and then added up.
    """

    steps: tuple
    key: str
    contracts: bool
    multiplies: bool = False
    inner: tuple = ()

    @property
    def name(self) -> str:
        """Path of the layer that does most."""
        return next((s for s in self.steps if counted(s.op)), self.steps[0]).path

    @property
    def inputs(self) -> Any:
        """The values that come from elsewhere."""
        own = {id(step.output) for step in self.steps}
        return tuple(v for s in self.steps for v in s.inputs if id(v) not in own)

    @property
    def output(self) -> Any:
        return self.steps[-1].output


def units(
    model: keras.Model,
    channel_map: ChannelMap | None = None,
    input_shape: tuple | None = None,
) -> list[Unit]:
    """Splits a network into units.

    Args:
        model: a functional or Sequential Keras model.
        channel_map: its `ChannelMap`, if it is known.
        input_shape: of an example, for a model of unknown spatial size.

    Returns:
        A list of `Unit` in the order of their calls. Reshapes and dropout cost
        nothing and are left out.

    Raises:
        ModelError: spatial sizes are unknown.

    Examples:
        >>> [unit.name for unit in hh_keras.latency.units(model)]
        ['conv_1', 'conv_2', 'mean', 'logits']
    """
    model = ordinary(model)
    channel_map = channel_map or trace(model, input_shape)
    steps = steps_of(model, channel_map, input_shape)
    uses: dict[int, int] = {}
    for step in steps:
        for value in step.inputs:
            uses[id(value)] = uses.get(id(value), 0) + 1
    unit_of: dict[int, int] = {}
    found: list = []
    for index, step in enumerate(steps):
        if step.output.constant:
            continue  # a runtime computes it once
        before = step.inputs[0] if len(step.inputs) == 1 else None
        joined = None
        if before is not None and before.maker is not None and uses[id(before)] == 1:
            joined = unit_of.get(before.maker)
        if joined is not None and _joins(steps, found[joined], step):
            found[joined].append(index)
            unit_of[index] = joined
        elif type(step.op).__name__ not in _FREE:
            unit_of[index] = len(found)
            found.append([index])
    return [_unit([steps[i] for i in members], channel_map) for members in found]


def _joins(steps, members, step):
    kind = type(step.op).__name__
    padding = [type(steps[i].op).__name__ for i in members] == ["ZeroPadding2D"]
    return kind in (_PADDED if padding else _JOINS)


def counted(op: Any) -> str | None:
    """The entry of a layer's config that says how many channels it makes."""
    return next((n for n in ("filters", "units") if hasattr(op, n)), None)


def _inner(step, channel_map):
    """See `Unit`."""
    heads, sizes = ATTENTION.get(type(step.op).__name__, (None, ()))
    config = channel_map.sites[step.path].config if sizes else {}
    if not config:
        return ()
    return tuple((config[heads], config[size]) for size in sizes)


def _unit(steps, channel_map):
    sites = channel_map.sites
    contracts = [s for s in steps if counted(s.op)]
    one = contracts and _leave_whole(contracts[0], sites)
    kinds = [[type(s.op).__name__, _kind(s.op, sites[s.path].config)] for s in steps]
    multiplies = any(sites[s.path].products for s in steps)
    unit = Unit(tuple(steps), "", False, multiplies, _inner(steps[0], channel_map))
    if contracts or unit.inner:
        summed = not one
    else:
        gone = _groups(unit.inputs, channel_map) - _groups([unit.output], channel_map)
        summed = bool(gone)
    sizes = [_sizes(v) for v in unit.inputs]
    wide = [_as_wide(v, unit.output, channel_map) for v in unit.inputs]
    wide = wide if len(wide) > 1 and not (summed or multiplies) else []
    key = json.dumps([kinds, sizes, wide], sort_keys=True)
    return dataclasses.replace(unit, key=key, contracts=summed)


def _groups(values, channel_map):
    """Groups whose channels are in any of the values, a set."""
    known = [groups_of(v.ids, channel_map) for v in values if v.ids is not None]
    return {g for each in known for groups in each for g in groups}


def _sizes(value):
    """Of a value without its channels, the same whatever their number."""
    gone = value.axes
    return [n for axis, n in enumerate(value.shape) if n > 1 and axis not in gone]


def _as_wide(value, output, channel_map):
    """Whether it has the output's channels."""
    if value.ids is None and output.ids is None:
        return value.shape[-1:] == output.shape[-1:]
    return bool(_groups([value], channel_map) & _groups([output], channel_map))


def _kind(op, follow):
    """What of a layer's config its speed depends on, besides channel counts.

    What is in `follow` changes with those.
    """
    if not calls.is_layer(op):
        kind = {k: v for k, v in vars(op).items() if k in _OF_OPERATIONS and v}
        return json.loads(json.dumps(kind, default=str))
    config = op.get_config()
    kind = _without_counts({k: v for k, v in config.items() if k not in follow})
    kind.pop("groups", None)
    if grouped(op):  # of groups that leave their size stays, of others their number
        sizes = [op.kernel.shape[-2], op.filters // op.groups]
        kind["groups"] = sizes if "groups" in follow else op.groups
    return json.loads(json.dumps(kind, default=str))


def grouped(op: Any) -> bool:
    """Whether it is a convolution in groups."""
    return getattr(op, "groups", 1) > 1 and hasattr(op, "filters")


def _leave_whole(step, sites):
    """Whether its groups leave, so that it costs as many times one of them."""
    return grouped(step.op) and "groups" in sites[step.path].config


def _without_counts(value):
    """Configs, and those of layers inside, without what does not make a kind."""
    if isinstance(value, (list, tuple)):
        return [_without_counts(v) for v in value]
    if not isinstance(value, dict):
        return value
    kept = {k: v for k, v in value.items() if k not in _NOT_OF_A_KIND}
    return {k: _without_counts(v) for k, v in kept.items() if not k.endswith(_DRAWN)}


def counts(unit: Unit, kept: np.ndarray | None = None) -> tuple:
    """Channel counts that decide on a unit's cost.

    Args:
        unit: a `Unit`.
        kept: bool array over the network's channels and their products, as
            `ChannelMap.whole` makes it; None keeps all.

    Returns:
        `(input, output)`, of several inputs the sum; of attention what its heads hold,
        for queries and for values.
    """

    def number(ids):
        if kept is None or ids.size == 1:
            return ids.size
        return int(np.sum((ids < 0) | kept[ids]))

    def count(value):
        if value.ids is None:
            return value.shape[-1] if value.axes else 1
        return number(value.ids)

    if unit.inner:
        n_in = sum(math.prod(map(number, each)) for each in unit.inner)
    else:
        n_in = sum(count(v) for v in unit.inputs)
    return n_in, count(unit.output)
