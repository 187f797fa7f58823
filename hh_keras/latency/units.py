"""A network as the units that a runtime runs: layers that it fuses stay together."""

import dataclasses
import json
import math
from typing import Any

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.opening.inline import ordinary
from hh_keras.graph.tracing import input_shapes, trace

_FREE = ("Dropout", "SpatialDropout2D", "Flatten", "Reshape", "Identity", "InputLayer")
_JOINS = (
    "BatchNormalization", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU",
    "HardSwish", "Silu", "Relu", "Relu6", "HardSigmoid", "Sigmoid",
)  # fmt: skip
_PADDED = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D")
_NOT_OF_A_KIND = (
    "name", "trainable", "dtype", "build_config", "filters", "units", "seed",
    "kernel_initializer", "bias_initializer", "depthwise_initializer",
    "pointwise_initializer", "gamma_initializer", "beta_initializer",
    "moving_mean_initializer", "moving_variance_initializer", "kernel_regularizer",
    "bias_regularizer", "depthwise_regularizer", "pointwise_regularizer",
    "beta_regularizer", "gamma_regularizer", "activity_regularizer",
    "kernel_constraint", "bias_constraint", "depthwise_constraint", "momentum",
    "pointwise_constraint", "beta_constraint", "gamma_constraint", "rate",
    "noise_shape", "synchronized", "epsilon", "quantization_config", "lora_rank",
    "lora_alpha", "dropout", "num_heads", "num_query_heads", "num_key_value_heads",
    "key_dim", "value_dim", "head_dim", "output_shape",
)  # fmt: skip
# Layers of attention → entries of the config: heads, and the numbers of each.
ATTENTION = {
    "MultiHeadAttention": ("num_heads", ("key_dim", "value_dim")),
    "GroupedQueryAttention": ("num_query_heads", ("head_dim", "head_dim")),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the network.

    Attributes:
        shape: without the batch.
        ids: network channels on its last axis, int array; None if none of the
            network's.
        maker: index of the step that makes it, None for an input.
    """

    shape: tuple
    ids: Any
    maker: int | None


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One call of one operation, with `Value` in place of tensors."""

    path: str
    op: Any
    args: tuple
    kwargs: dict
    inputs: tuple
    output: Value


@dataclasses.dataclass(frozen=True, eq=False)
class Unit:
    """Calls that a runtime runs as one, such as a convolution with its activation.

    Attributes:
        steps: tuple of `Step`, each fed by the one before, the first by `inputs`.
        key: what it costs is the same for all units of this key and equal counts.
        contracts: whether it sums over channels, so that input and output counts
            both matter; otherwise the output's alone.
        inner: what counts for the input of attention: tuples of id arrays, of heads and
            of the numbers of each, whose counts are multiplied, and then added up.
    """

    steps: tuple
    key: str
    contracts: bool
    inner: tuple = ()

    @property
    def name(self) -> str:
        """Path of the layer that does most."""
        return next((s for s in self.steps if _counted(s.op)), self.steps[0]).path

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
    steps = _steps(model, channel_map, input_shape)
    uses: dict[int, int] = {}
    for step in steps:
        for value in step.inputs:
            uses[id(value)] = uses.get(id(value), 0) + 1
    unit_of: dict[int, int] = {}
    found: list = []
    for index, step in enumerate(steps):
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


def _steps(model, channel_map, input_shape):
    graph = calls.as_graph(model)
    shapes = [shape[1:] for shape in input_shapes(graph, input_shape)]
    found = []

    def step(path, call, args, kwargs):
        values = [v for v in keras.tree.flatten((args, kwargs)) if isinstance(v, Value)]
        outputs = []
        for shape in _output_shapes(call, args, kwargs, values):
            ids = channel_map.outputs.get(path)
            if ids is None and not calls.is_layer(call.op):
                same = [v.ids for v in values if v.shape[-1:] == shape[-1:]]
                ids = same[0] if same else None
            if ids is not None and (not shape or len(ids) != shape[-1]):
                ids = None
            outputs.append(Value(shape, ids, len(found)))
        if None in outputs[0].shape:
            raise ModelError(
                f"layer '{path}' of '{model.name}' puts out {outputs[0].shape}: its "
                "latency depends on the image size. Give input_shape."
            )
        found.append(Step(path, call.op, args, kwargs, tuple(values), outputs[0]))
        return outputs

    inputs = [Value(shape, None, None) for shape in shapes]
    calls.interpret(model, inputs, step)
    return found


def _output_shapes(call, args, kwargs, values):
    known = [tuple(t.shape)[1:] for t in call.outputs]
    if not any(None in shape for shape in known):
        return known

    def symbolic(x):
        return keras.KerasTensor((1, *x.shape)) if isinstance(x, Value) else x

    args, kwargs = keras.tree.map_structure(symbolic, (args, kwargs))
    spec = call.op.compute_output_spec(*args, **kwargs)
    return [tuple(t.shape)[1:] for t in keras.tree.flatten(spec)]


def _counted(op):
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
    contracts = [s for s in steps if _counted(s.op)]
    one = contracts and getattr(contracts[0].op, "groups", 1) > 1
    kinds = [[type(s.op).__name__, _kind(s.op)] for s in steps]
    inner = _inner(steps[0], channel_map)
    summed = (bool(contracts) and not one) or bool(inner)
    unit = Unit(tuple(steps), "", summed, inner)
    sizes = [list(v.shape[:-1]) for v in unit.inputs]
    last = unit.output.shape[-1:]
    wide = [v.shape[-1:] == last for v in unit.inputs]
    wide = wide if len(wide) > 1 and not inner else []
    key = json.dumps([kinds, sizes, wide], sort_keys=True)
    return dataclasses.replace(unit, key=key)


def _kind(op):
    """What of a layer's config its speed depends on, besides channel counts."""
    config = op.get_config() if calls.is_layer(op) else {}
    kind = {k: v for k, v in config.items() if k not in _NOT_OF_A_KIND}
    if kind.get("groups") == 1:
        kind.pop("groups")
    elif "groups" in kind:  # groups leave, or shrink: what stays is their size
        kind["groups"] = [op.kernel.shape[-2], op.filters // op.groups]
    return json.loads(json.dumps(kind, default=str))


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
        return len(ids) if kept is None else int(np.count_nonzero(kept[ids]))

    def count(value):
        if value.ids is None:
            return value.shape[-1] if value.shape else 1
        return number(value.ids)

    if unit.inner:
        n_in = sum(math.prod(map(number, each)) for each in unit.inner)
    else:
        n_in = sum(count(v) for v in unit.inputs)
    return n_in, count(unit.output)
