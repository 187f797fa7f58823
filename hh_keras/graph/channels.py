"""Which channels a model has: which are tied together, and which must stay.

The model is run once on integers. Every channel that a layer produces gets an id;
each rule says what its layer does to the array of ids; ties between ids make
classes. A class is one **channel of the network**: the smallest thing that can be
removed.
"""

import collections.abc
import dataclasses
import fnmatch
import warnings
from fractions import Fraction

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.graph import calls, ledger
from hh_keras.graph.ids import AS_BEFORE, IdTensor
from hh_keras.graph.measured import count_macs
from hh_keras.graph.rules import Effect, RuleCall, Take, find_rule
from hh_keras.graph.table import some
from hh_keras.graph.trial import try_call
from hh_keras.graph.values import id_arrays, map_ids


@dataclasses.dataclass(frozen=True)
class Group:
    """Channels that the same layers produce and consume.

    Attributes:
        name: the first producer's name, with `:1`, `:2` … if a layer has several.
        ids: the group's channels, consecutive integers.
        producers: names of the layers that make these channels.
        consumers: names of the layers that sum over them.
        frozen: why none of them can be removed, or None.
    """

    name: str
    ids: range
    producers: tuple
    consumers: tuple
    frozen: str | None = None

    def __len__(self):
        return len(self.ids)


@dataclasses.dataclass(frozen=True, eq=False)
class Site:
    """All that depends on channels in one layer; ids are network channels.

    See `hh_keras.graph.rules.Effect` for the fields. `arguments` and `contracts` are
    by the id of the Keras node of each call of the layer.
    """

    kind: str
    weights: dict
    config: dict
    kernels: dict
    uses: dict
    products: tuple
    arguments: dict
    contracts: dict
    shape: tuple
    weight_shapes: dict
    uncounted: bool


class Sites(collections.abc.Mapping):
    """Layer name → `Site`, each made when it is first asked for."""

    def __init__(self, model, effects, rename):
        self._model = model
        self._effects, self._rename, self._made = effects, rename, {}

    @property
    def model(self):
        """The traced model."""
        return self._model

    def count_params(self):
        """Number of all weights of the model."""
        return self._model.count_params()

    def __getitem__(self, path):
        if path not in self._made:
            self._made[path] = _site(self._effects[path], self._rename)
        return self._made[path]

    def __iter__(self):
        return iter(self._effects)

    def __len__(self):
        return len(self._effects)


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelMap:
    """The channels of a model.

    Attributes:
        size: number of network channels, the length of a score or keep array.
        groups: tuple of `Group`, in the order of the ids.
        inputs: layer name → int array `(input channels,)` of network channels.
        outputs: layer name → int array `(output channels,)` of network channels.
        sites: layer name → `Site`, what rebuilding and costing need.
        model_name: the traced model's name.
    """

    size: int
    groups: tuple
    inputs: dict
    outputs: dict
    sites: Sites
    model_name: str

    @property
    def removable(self):
        """Bool array `(size,)`: which channels may be removed."""
        keep = np.zeros(self.size, bool)
        for group in self.groups:
            if group.frozen is None and len(group) > 1:
                keep[group.ids.start : group.ids.stop] = True
        return keep

    @property
    def produced(self):
        """Bool array `(size,)`: which channels a layer of the model produces."""
        made = np.zeros(self.size, bool)
        for ids in self.outputs.values():
            made[ids] = True
        return made

    @property
    def removable_share(self):
        """Share of the produced channels that may be removed, 0 to 1."""
        produced = self.produced
        return float(self.removable[produced].mean()) if produced.any() else 0.0

    def group(self, name):
        """Returns the group of that name; raises KeyError with the nearest names."""
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(f"no group '{name}'; groups: {[g.name for g in self.groups]}")

    def matching(self, pattern):
        """Returns the groups whose name fits a shell pattern such as `stage3*`."""
        return [g for g in self.groups if fnmatch.fnmatchcase(g.name, pattern)]

    def __str__(self):
        from hh_keras.graph.table import describe_channels

        return describe_channels(self)


def trace(model, input_shape=None):
    """Finds the channels of a model.

    The model is not run and not changed; it needs no data and no weights, only a
    graph. Layers without a rule freeze the channels that they touch, with a warning
    that names them.

    Args:
        model: a functional or Sequential Keras 3 model.
        input_shape: shape of an input without the batch, for models whose spatial
            size is unknown; a list or dict of shapes for several inputs. The channels
            are the same at any size; what they cost is not.

    Returns:
        A `ChannelMap`.

    Raises:
        ModelError: the model is subclassed, not built or not a Keras model, or
            `input_shape` does not fit it.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)),
        ...     keras.layers.Conv2D(4, 3, name="a"), keras.layers.Flatten(),
        ...     keras.layers.Dense(10, name="head")])
        >>> channels = hh_keras.trace(model)
        >>> [(g.name, len(g)) for g in channels.groups if g.frozen is None]
        [('a', 4)]
    """
    graph = calls.as_graph(model)
    book = ledger.Ledger()
    effects = collections.defaultdict(list)  # path → its entries
    entered, frozen = {}, {}

    def step(path, call, args, kwargs):
        flat = _tensors(args, kwargs)
        shapes = _output_shapes(path, call, flat, args, kwargs)
        rule_call = RuleCall(path, flat, args, kwargs, shapes, book)
        effect = _effect(call.op, rule_call, frozen)
        effect = _with_outputs(effect, rule_call, call.outputs)
        effects[path].append(_Entry(call, rule_call, effect))
        return effect.outputs

    def enter(path, graph, inputs):
        """All calls of a nested model put the same channels in the same places."""
        first = entered.setdefault(id(graph), inputs)
        for x, before in zip(inputs, first):
            if x is not before and x is not None and before is not None:
                book.tie_tensors(before, x, path)
        return [_ranked_as(t, x) for t, x in zip(graph.inputs, inputs)]

    inputs = [
        _input(book, t, shape)
        for t, shape in zip(graph.inputs, _input_shapes(graph, input_shape))
    ]
    with calls.collection_paused():
        outputs = calls.interpret(model, inputs, step, enter)
    for x in outputs:
        book.freeze(x.ids, "model output")
    _warn(frozen)
    return _channel_map(model, book, effects)


@dataclasses.dataclass(frozen=True, eq=False)
class _Entry:
    """One call of an operation, and what it does to channels."""

    call: calls.Call
    seen: RuleCall
    effect: Effect


def _input(book, tensor, shape):
    name = tensor._keras_history.operation.name
    x = book.fixed(shape, f"model input '{name}'")
    known = shape and shape[0] is not None
    rows = 1 if not known else Fraction(1, shape[0] or 1)
    if known and None in shape:
        rows = None
    return IdTensor(x.ids, x.shape, rows, tensor.dtype)


def _ranked_as(tensor, x):
    """A nested model adds or drops a last axis of size 1, as Keras lets it."""
    if x is None or x.rank == len(tensor.shape):
        return x
    if x.rank > len(tensor.shape):
        return dataclasses.replace(x, ids=x.ids[..., 0], shape=x.shape[:-1])
    return dataclasses.replace(x, ids=x.ids[..., None], shape=(*x.shape, 1))


def _effect(op, call, frozen):
    """What a call does, by its rule or by trial."""
    _refuse_adapters(call.path, op)
    rule = find_rule(op)
    effect = try_call(op, call) if rule is None else rule(op, call)
    if effect.stopped and (rule is None or _may_multiply(op, rule)):
        effect = _costed(op, call, effect)
    if effect.stopped and rule is None:
        touched = any((x.ids >= 0).any() for x in call.inputs)
        if touched or calls.is_layer(op) and op.weights:
            frozen.setdefault((type(op).__name__, effect.stopped), []).append(
                (call.path, effect.uncounted)
            )
    return effect


def _with_outputs(effect, call, tensors):
    """The effect with its outputs as a list, their rows and types filled in."""
    outputs, rows = effect.outputs, call.rows
    outputs = [
        IdTensor(x.ids, x.shape, rows if x.rows is AS_BEFORE else x.rows, t.dtype)
        for x, t in zip(outputs if isinstance(outputs, list) else [outputs], tensors)
    ]
    return dataclasses.replace(effect, outputs=outputs)


def _may_multiply(op, rule):
    """Whether an operation whose rule stops may still cost something."""
    if calls.is_layer(op):
        return any(len(w.shape) > 1 for w in op.weights)
    return rule.__module__.endswith("products")


def _costed(op, call, effect):
    """A stopped call's effect with its multiply-accumulates, as a fixed number."""
    if effect.products or effect.uses:
        return effect
    macs = count_macs(op, call.args, call.kwargs)
    if macs is None:
        return dataclasses.replace(effect, uncounted=True)
    return call.counted(effect, None if macs != macs else macs)


def _refuse_adapters(path, op):
    if getattr(op, "lora_enabled", False):
        raise ModelError(
            f"layer '{path}' ({type(op).__name__}) has a LoRA adapter, made for the "
            "kernel's present size. Merge it first (kernel + lora_alpha / lora_rank * "
            "A @ B, in a model without enable_lora), shrink, and adapt afterwards."
        )
    if calls.is_layer(op) and getattr(op, "quantization_mode", None):
        raise ModelError(
            f"layer '{path}' ({type(op).__name__}) is quantised "
            f"({op.quantization_mode}): its weights are integers of the present size. "
            "Shrink the float model and quantise afterwards."
        )


def _warn(frozen):
    for (kind, reason), places in frozen.items():
        names = some([f"'{path}'" for path, _ in places])
        uncounted = any(uncounted for _, uncounted in places)
        cost = ", and their own multiply-accumulates are not known" if uncounted else ""
        warnings.warn(
            f"{names} ({kind}): {reason}. The channels that they touch are frozen"
            f"{cost}. hh_keras.register_rule teaches a layer in a few lines.",
            stacklevel=3,
        )


def _tensors(args, kwargs):
    if len(args) == 1 and not kwargs and isinstance(args[0], IdTensor):
        return [args[0]]
    return [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, IdTensor)]


def _input_shapes(graph, input_shape):
    own = [tuple(t.shape) for t in graph.inputs]
    if input_shape is None:
        return own
    if isinstance(input_shape, dict):
        given = [input_shape[t._keras_history.operation.name] for t in graph.inputs]
    elif len(own) > 1 or (input_shape and isinstance(input_shape[0], (tuple, list))):
        given = list(input_shape)
    else:
        given = [input_shape]
    for mine, yours in zip(own, given):
        fits = len(mine) == len(yours) + 1 and all(
            m in (None, y) for m, y in zip(mine[1:], yours)
        )
        if not fits:
            raise ModelError(
                f"input_shape {tuple(yours)} does not fit the model's input "
                f"{mine[1:]} (without the batch)."
            )
    return [(None, *yours) for yours in given]


def _output_shapes(path, call, flat, args, kwargs):
    """Shapes of a call's outputs, by the sizes that its inputs really have."""
    own = [tuple(t.shape) for t in call.inputs]
    if len(own) == len(flat) and all(x.shape[1:] == s[1:] for x, s in zip(flat, own)):
        return [tuple(t.shape) for t in call.outputs]

    def symbolic(x):
        return keras.KerasTensor(x.shape, x.dtype) if isinstance(x, IdTensor) else x

    args, kwargs = keras.tree.map_structure(symbolic, (args, kwargs))
    try:
        spec = call.op.compute_output_spec(*args, **kwargs)
    except Exception as error:  # a layer may raise anything about sizes
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"layer '{path}' ({type(call.op).__name__}) does not take inputs of shape "
            f"{', '.join(str(x.shape) for x in flat)}: {reason}"
        ) from error
    return [tuple(t.shape) for t in keras.tree.flatten(spec)]


def _tie_calls(book, path, entries):
    """A layer called several times has one set of weights: its calls are tied.

    What is in a nested model is called once for each call of that: the same node.
    """
    first, nodes = entries[0], {}
    for entry in entries:
        a, b = first.effect, entry.effect
        if a is not b:
            book.tie_values((a.weights, a.config), (b.weights, b.config), path)
        same = nodes.setdefault(id(entry.call.node), b)
        if same is not b:
            mine, other = ((e.arguments, _where(e)) for e in (same, b))
            book.tie_values(mine, other, path)


def _hold_shared_weights(book, effects):
    """Weights of several layers, such as tied embeddings, keep their channels.

    Raises:
        ModelError: layers share a variable, but no layer that holds it.
    """
    owners = collections.defaultdict(list)  # id of a variable → (path, holder, op)
    for path, (first, *_) in effects.items():
        if not calls.is_layer(first.call.op):
            continue
        for holder in first.call.op._flatten_layers():
            own = (*holder._trainable_variables, *holder._non_trainable_variables)
            for variable in own:
                owners[id(variable)].append((path, holder, variable))
    for shared in owners.values():
        paths = list(dict.fromkeys(path for path, _, _ in shared))
        if len(paths) < 2:
            continue
        if len({id(holder) for _, holder, _ in shared}) > 1:
            raise ModelError(
                f"layers '{paths[0]}' and '{paths[1]}' share the weight "
                f"'{shared[0][2].name}' without sharing the layer that holds it, so it "
                "cannot be made anew for both. Put it into a layer of its own, which "
                "both hold or call."
            )
        for path in paths:
            op, effect = effects[path][0].call.op, effects[path][0].effect
            for name, variable in calls.variables(op).items():
                if variable is shared[0][2]:
                    for ids in id_arrays(effect.weights.get(name, ())):
                        book.freeze(ids, f"{path}: shares '{name}' with other layers")


def _where(effect):
    return {place[:2]: place[2] for place in effect.contracts}


def _channel_map(model, book, effects):
    for path, entries in effects.items():
        if len(entries) > 1:
            _tie_calls(book, path, entries)
    _hold_shared_weights(book, effects)
    ends = {
        path: _ends(entries[0].seen, entries[0].effect)
        for path, entries in effects.items()
        if calls.is_layer(entries[0].call.op)
    }
    labels = ledger.classes(book)
    causes, reasons = ledger.causes_of(book, labels)
    arrays = (
        ids for all_ in effects.values() for e in all_ for ids in _arrays(e.effect)
    )
    order, bounds = ledger.order_of(book, arrays, labels, causes)
    rename = order[labels] if book.size else np.zeros(0, int)

    inputs = {p: rename[a] for p, (a, _) in ends.items() if a is not None}
    outputs = {p: rename[b] for p, (_, b) in ends.items() if b is not None}
    why = [reasons[causes[c]] for c in np.argsort(order)[bounds[:-1]]]
    groups = _groups(book, effects, rename, bounds, why)
    return ChannelMap(
        size=len(order),
        groups=groups,
        inputs=inputs,
        outputs=outputs,
        sites=Sites(model, dict(effects), rename),
        model_name=model.name,
    )


def _ends(rule_call, effect):
    """The ids on a layer's input and output channels, where there is such an axis."""
    inputs, outputs = effect.inputs, effect.produces
    if inputs is None and rule_call.inputs:
        inputs = _channel_vector(rule_call, rule_call.x)
    if outputs is None and effect.outputs:
        outputs = _channel_vector(rule_call, effect.outputs[0])
    return inputs, outputs


def _channel_vector(rule_call, x):
    axis = (x.varying or (x.rank - 1,))[-1]
    if x.rank < 2 or x.shape[axis] is None or x.is_fixed:
        return None
    return rule_call.along(x, axis)


def _arrays(effect):
    """Every id array of an effect."""
    for axes in effect.weights.values():
        yield from (ids for ids in axes if ids is not None)
    for _, _, ids in effect.contracts:
        yield ids
    for _, factors in effect.products:
        yield from factors
    if effect.config or effect.arguments:
        yield from id_arrays((effect.config, effect.arguments))


def _groups(book, effects, rename, bounds, why):
    # Whatever holds one channel of a group holds all: the first one speaks for it.
    is_start = np.zeros(len(rename) + 1, bool)
    is_start[bounds[:-1]] = True
    makers = [(path, np.arange(a, b)) for path, a, b in book.makers if path is not None]
    readers = [
        (path, ids)
        for path, entries in effects.items()
        for entry in entries
        for _, _, ids in entry.effect.contracts
    ]
    producers = _names_by_channel(makers, rename, is_start)
    consumers = _names_by_channel(readers, rename, is_start)
    used = collections.Counter()
    groups = []
    for start, stop, reason in zip(bounds[:-1], bounds[1:], why):
        made = tuple(producers[start])
        base = made[0] if made else _culprit(reason)
        name = f"{base}:{used[base]}" if used[base] else base
        used[base] += 1
        groups.append(
            Group(name, range(start, stop), made, tuple(consumers[start]), reason)
        )
    return tuple(groups)


def _names_by_channel(named, rename, wanted):
    """Channel → ordered set of the names whose ids hold it, for wanted channels."""
    names = collections.defaultdict(dict)
    if named:
        channels = rename[np.concatenate([ids for _, ids in named])]
        owner = np.repeat(np.arange(len(named)), [len(ids) for _, ids in named])
        hits = np.flatnonzero(wanted[channels])
        for channel, k in zip(channels[hits].tolist(), owner[hits].tolist()):
            names[channel][named[k][0]] = None
    return names


def _culprit(reason):
    """The layer that a reason speaks of; inputs have no stable names of their own."""
    return "input" if reason.startswith("model input") else reason.split(":")[0]


def _site(entries, rename):
    # A call on positions knows no weights by channel, another one may.
    first = next((e.effect for e in entries if e.effect.weights), entries[0].effect)
    op = entries[0].call.op
    nodes = {id(e.call.node): e.effect for e in reversed(entries)}

    def network(ids):
        return rename[ids]

    fields = map_ids(
        network,
        {
            "weights": first.weights,
            "config": first.config,
            "products": tuple(p for e in entries for p in e.effect.products),
            "arguments": {k: e.arguments for k, e in nodes.items()},
            "contracts": {k: e.contracts for k, e in nodes.items()},
        },
    )
    uses = {
        name: _total(e.effect.uses[name] for e in entries if name in e.effect.uses)
        for name in first.uses
    }
    shape = entries[-1].effect.outputs[0].shape if entries[-1].effect.outputs else ()
    return Site(
        kind=type(op).__name__,
        kernels=first.kernels,
        uses=uses,
        shape=tuple(shape),
        weight_shapes={k: tuple(v.shape) for k, v in calls.variables(op).items()},
        uncounted=any(e.effect.uncounted for e in entries),
        **fields,
    )


def _total(values):
    values = list(values)
    return None if None in values else sum(values)


__all__ = ["ChannelMap", "Effect", "Group", "Site", "Take", "map_ids", "trace"]
