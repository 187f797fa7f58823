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

import keras
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.graph.ids import IdTensor, constant
from hh_keras.graph.rules import Effect, RuleCall, Take, find_rule


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

    See `hh_keras.graph.rules.Effect` for the fields. `arguments` and `contracts` have
    one entry for each call of the layer.
    """

    kind: str
    weights: dict
    config: dict
    kernels: dict
    uses: dict
    products: tuple
    arguments: tuple
    contracts: tuple
    shape: tuple
    weight_shapes: dict


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


class _Book:
    """The ledger of one trace: ids, who made them, ties and frozen channels."""

    def __init__(self):
        self.makers = []  # (path, first id, one past the last)
        self.size = 0
        self.ties = []
        self.frozen = []  # (ids, reason)
        self.reasons = []  # reasons[k] belongs to the negative id -1 - k
        self.fixed_ids = {}  # (reason, position) blocks already given real ids
        self.vectors = {}  # (id of an id array, axis, size) → (that array, its vector)

    def fresh(self, n, path):
        ids = np.arange(self.size, self.size + n)
        self.makers.append((path, self.size, self.size + n))
        self.size += n
        return ids

    def fixed(self, shape, reason):
        if reason not in self.reasons:
            self.reasons.append(reason)
        return constant(-1 - self.reasons.index(reason), shape)

    def tie(self, a, b):
        a, b = np.ravel(a), np.ravel(b)
        if min(a.min(initial=0), b.min(initial=0)) == 0:
            self.ties.append((a, b))
            return
        loose_a, loose_b = a >= 0, b >= 0
        both = loose_a & loose_b & (a != b)
        if both.any():
            self.ties.append((a[both], b[both]))
        for mine, other in ((a, b), (b, a)):
            lone = (mine >= 0) & (other < 0)
            for code in np.unique(other[lone]):
                reason = f"combined with {self.reasons[-1 - code]}"
                self.frozen.append((mine[lone & (other == code)], reason))

    def freeze(self, ids, reason):
        ids = np.ravel(ids)
        if (ids >= 0).any():
            self.frozen.append((ids[ids >= 0], reason))

    def own(self, ids):
        """Gives values that no layer produces frozen ids of their own."""
        if (ids >= 0).all():
            return np.asarray(ids)
        ids = np.array(ids)
        for code in np.unique(ids[ids < 0]):
            places = ids == code
            count = int(places.sum())
            reason = self.reasons[-1 - code]
            block = self.fixed_ids.get(reason)
            if block is None or len(block) < count:
                block = self.fresh(count, None)
                self.frozen.append((block, reason))
                self.fixed_ids[reason] = block
            ids[places] = block[:count]
        return ids


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
    book = _Book()
    effects = collections.defaultdict(list)  # path → [(op, RuleCall, Effect)]
    unknown = {}

    shapes_in = _input_shapes(graph, input_shape)
    infer = any(s != tuple(t.shape) for s, t in zip(shapes_in, graph.inputs))

    def step(path, call, args, kwargs):
        flat = _tensors(args, kwargs)
        shapes = _output_shapes(call, args, kwargs, infer)
        rule_call = RuleCall(path, flat, args, kwargs, shapes, book)
        rule = find_rule(call.op)
        if rule is None:
            unknown.setdefault(type(call.op).__name__, path)
            effect = rule_call.stops(f"{type(call.op).__name__} has no rule")
        else:
            effect = rule(call.op, rule_call)
        effects[path].append((call.op, rule_call, effect))
        outputs = effect.outputs
        return outputs if isinstance(outputs, list) else [outputs]

    inputs = [
        book.fixed(shape, f"model input '{t._keras_history.operation.name}'")
        for t, shape in zip(graph.inputs, shapes_in)
    ]
    with calls.collection_paused():
        outputs = calls.interpret(model, inputs, step)
    for x in outputs:
        book.freeze(x.ids, "model output")
    if unknown:
        names = ", ".join(f"'{path}' ({kind})" for kind, path in unknown.items())
        warnings.warn(
            f"no rule for {names}: the channels they touch are frozen, and their own "
            "multiply-accumulates are not counted. "
            "hh_keras.register_rule teaches a layer in a few lines.",
            stacklevel=2,
        )
    return _channel_map(model, book, effects)


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


def _output_shapes(call, args, kwargs, infer):
    if not infer:
        return [tuple(t.shape) for t in call.outputs]
    tensors = iter(call.inputs)

    def symbolic(x):
        if isinstance(x, IdTensor):
            return keras.KerasTensor(x.shape, dtype=next(tensors).dtype)
        return x

    args, kwargs = keras.tree.map_structure(symbolic, (args, kwargs))
    spec = call.op.compute_output_spec(*args, **kwargs)
    return [tuple(t.shape) for t in keras.tree.flatten(spec)]


def map_ids(function, value):
    """Applies `function` to every id array inside a nested value."""
    if isinstance(value, np.ndarray):
        return function(value)
    if isinstance(value, Take):
        return Take(value.values, function(value.ids))
    if isinstance(value, slice):
        return slice(
            *(map_ids(function, v) for v in (value.start, value.stop, value.step))
        )
    if isinstance(value, dict):
        return {k: map_ids(function, v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map_ids(function, v) for v in value)
    return value


def _id_arrays(value):
    found = []
    map_ids(lambda ids: found.append(ids) or ids, value)
    return found


def _tie_calls(book, entries):
    """A layer called several times has one set of weights: its calls are tied."""
    first = entries[0][2]
    for _, _, effect in entries[1:]:
        mine = _id_arrays((first.weights, first.config))
        for a, b in zip(mine, _id_arrays((effect.weights, effect.config))):
            book.tie(a, b)


def _channel_map(model, book, effects):
    for entries in effects.values():
        if len(entries) > 1:
            _tie_calls(book, entries)
    ends = {
        path: _ends(book, entries[0][1], entries[0][2])
        for path, entries in effects.items()
        if calls.is_layer(entries[0][0])
    }
    labels = _classes(book)
    causes, reasons = _causes(book, labels)
    order, bounds = _order(book, effects, labels, causes)
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


def _ends(book, rule_call, effect):
    """The ids on a layer's input and output channels, where there is such an axis."""
    first = effect.outputs[0] if isinstance(effect.outputs, list) else effect.outputs
    inputs, outputs = effect.inputs, effect.produces
    if inputs is None and rule_call.inputs:
        inputs = _channel_vector(book, rule_call, rule_call.x)
    if outputs is None:
        outputs = _channel_vector(book, rule_call, first)
    return inputs, outputs


def _channel_vector(book, rule_call, x):
    axis = (x.varying or (x.rank - 1,))[-1]
    if x.rank < 2 or x.shape[axis] is None or x.is_fixed:
        return None
    return rule_call.along(x, axis)


def _classes(book):
    """Returns the class of every id: tied ids are of one class."""
    if not book.ties:
        return np.arange(book.size)
    a, b = (np.concatenate(side) for side in zip(*book.ties))
    edges = coo_matrix((np.ones(len(a)), (a, b)), shape=(book.size, book.size))
    return connected_components(edges, directed=False)[1]


def _causes(book, labels):
    """Returns why each class is frozen, as an index into a list of reasons.

    The last of the reasons is None, for the classes that are not; where several
    would do, the first one counts.
    """
    reasons = list(dict.fromkeys(reason for _, reason in book.frozen))
    number = {reason: k for k, reason in enumerate(reasons)}
    causes = np.full(labels.max(initial=-1) + 1, len(reasons))
    for ids, reason in reversed(book.frozen):
        causes[labels[ids]] = number[reason]
    return causes, [*reasons, None]


def _order(book, effects, labels, causes):
    """Numbers the classes so that each group is a run of consecutive integers.

    Classes are of one group if they stand equally often in every id array: then any
    count of them costs the same, whichever they are.
    """
    count = len(causes)
    random = np.random.default_rng(0)
    signatures = random.integers(1, 2**63, causes.max(initial=0) + 1, np.uint64)
    signatures = signatures[causes]
    arrays = {
        id(ids): ids
        for entries in effects.values()
        for _, _, effect in entries
        for ids in _arrays(effect)
    }
    arrays = [*arrays.values(), *(np.arange(a, b) for _, a, b in book.makers)]
    if arrays:
        codes = random.integers(1, 2**63, len(arrays), dtype=np.uint64)
        codes = np.repeat(codes, [len(ids) for ids in arrays])
        np.add.at(signatures, labels[np.concatenate(arrays)], codes)
    first = np.full(count, book.size)
    np.minimum.at(first, labels, np.arange(book.size))
    group_of = _numbered(signatures)
    group_first = np.full(count, book.size)
    np.minimum.at(group_first, group_of, first)
    sequence = np.argsort(group_first[group_of] * book.size + first)
    order = np.empty(count, int)
    order[sequence] = np.arange(count)
    starts = np.flatnonzero(
        np.diff(group_of[sequence], prepend=-1) if count else np.zeros(0)
    )
    bounds = [*starts.tolist(), count]
    return order, bounds


def _numbered(values):
    """Equal values get equal integers; made for long runs of equal values."""
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])
    numbers = np.unique(values[starts], return_inverse=True)[1]
    return np.repeat(numbers, np.diff(starts, append=len(values)))


def _arrays(effect):
    """Every id array of an effect."""
    for axes in effect.weights.values():
        yield from (ids for ids in axes if ids is not None)
    for _, _, ids in effect.contracts:
        yield ids
    for _, factors in effect.products:
        yield from factors
    if effect.config or effect.arguments:
        yield from _id_arrays((effect.config, effect.arguments))


def _groups(book, effects, rename, bounds, why):
    # Whatever holds one channel of a group holds all: the first one speaks for it.
    is_start = np.zeros(len(rename) + 1, bool)
    is_start[bounds[:-1]] = True
    makers = [(path, np.arange(a, b)) for path, a, b in book.makers if path is not None]
    readers = [
        (path, ids)
        for path, entries in effects.items()
        for _, _, effect in entries
        for _, _, ids in effect.contracts
    ]
    producers = _names_by_channel(makers, rename, is_start)
    consumers = _names_by_channel(readers, rename, is_start)
    used = collections.Counter()
    groups = []
    for start, stop, reason in zip(bounds[:-1], bounds[1:], why):
        made = tuple(producers[start])
        base = made[0] if made else _where(reason)
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


def _where(reason):
    """The layer that a reason speaks of; inputs have no stable names of their own."""
    return "input" if reason.startswith("model input") else reason.split(":")[0]


def _site(entries, rename):
    op, _, first = entries[0]

    def network(ids):
        return rename[ids]

    fields = map_ids(
        network,
        {
            "weights": first.weights,
            "config": first.config,
            "products": tuple(p for _, _, e in entries for p in e.products),
            "arguments": tuple(e.arguments for _, _, e in entries),
            "contracts": tuple(e.contracts for _, _, e in entries),
        },
    )
    uses = {name: _total(e.uses[name] for _, _, e in entries) for name in first.uses}
    return Site(
        kind=type(op).__name__,
        kernels=first.kernels,
        uses=uses,
        shape=tuple(entries[-1][1].shape) if entries[-1][1].shapes else (),
        weight_shapes={k: tuple(v.shape) for k, v in calls.variables(op).items()},
        **fields,
    )


def _total(values):
    values = list(values)
    return None if None in values else sum(values)


__all__ = ["ChannelMap", "Effect", "Group", "Site", "map_ids", "trace"]
