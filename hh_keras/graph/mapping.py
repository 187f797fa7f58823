"""From what every call does to ids to the channels of a model."""

import collections
import collections.abc
import dataclasses
import math
from typing import Any

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.graph import calls, ledger
from hh_keras.graph.channels import ChannelMap, Group, Site
from hh_keras.graph.ledger import Ledger
from hh_keras.graph.rules import Effect, RuleCall, find_rule
from hh_keras.graph.values import id_arrays, map_ids
from hh_keras.graph.weights import variables


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """One call of an operation, what it does to channels, and what comes out."""

    call: calls.Call
    seen: RuleCall
    effect: Effect
    outputs: list


class Sites(collections.abc.Mapping):
    """Layer name → `Site`, each made when it is first asked for."""

    def __init__(self, model: Any, effects: Any, rename: Any) -> None:
        self._model = model
        self._effects, self._rename = effects, rename
        self._made: dict = {}

    @property
    def model(self) -> keras.Model:
        """The traced model."""
        return self._model

    def count_params(self) -> int:
        """Number of all weights of the model."""
        return self._model.count_params()

    def tensors(self, path: str) -> list[list]:
        """Network channels in what a layer puts out, a list for each of its calls.

        Int arrays of the tensors' rank, batch first: an axis along which there is the
        same everywhere has size 1; negative where there is no channel.
        """
        rename = np.append(self._rename, -1)  # the last is what has no channel

        def channels(ids):
            return rename[np.maximum(ids, -1)]

        return [[channels(x.ids) for x in e.outputs] for e in self._effects[path]]

    def __getitem__(self, path):
        if path not in self._made:
            self._made[path] = _site(self._effects[path], self._rename)
        return self._made[path]

    def __iter__(self):
        return iter(self._effects)

    def __len__(self):
        return len(self._effects)


def channel_map_of(model: keras.Model, book: Ledger, effects: dict) -> ChannelMap:
    """Numbers the channels of a traced model, and sorts them into groups.

    Args:
        model: the model.
        book: the `Ledger` of the trace.
        effects: layer name → its `Entry` values, one for each call.
    """
    for path, entries in effects.items():
        if len(entries) > 1:
            _tie_calls(book, path, entries)
    _hold_shared_weights(book, effects)
    ends = {path: _ends(entries[0]) for path, entries in effects.items()}
    labels, products = ledger.classes(book)
    causes, reasons = ledger.causes_of(book, labels)
    arrays = [
        ids for all_ in effects.values() for e in all_ for ids in _arrays(e.effect)
    ]
    order, bounds = ledger.order_of(book, arrays, labels, causes, products)
    rename = order[labels] if book.size else np.zeros(0, int)
    table = _table(products, order)

    done: dict = {}  # by identity: layers one after another have the same array
    inputs, outputs = (
        {
            p: numbers
            for p, e in ends.items()
            if (numbers := _all_known(e[k], rename, done)) is not None
        }
        for k in (0, 1)
    )
    of_channel = np.argsort(np.where(order < 0, len(order), order))
    why = [reasons[causes[c]] for c in of_channel[bounds[:-1]]]
    groups = _groups(book, effects, Names(rename, table, bounds), why)
    return ChannelMap(
        size=bounds[-1],
        groups=groups,
        inputs=inputs,
        outputs=outputs,
        sites=Sites(model, dict(effects), rename),
        model_name=model.name,
        products=table,
    )


def _table(products, order):
    """The channels that each product is of, `(products, factors)`, -1 where fewer."""
    most = max(map(len, products.values()), default=0)
    table = np.full((len(products), most), -1)
    for row, factors in enumerate(products.values()):
        table[row, : len(factors)] = order[list(factors)]
    return table


@dataclasses.dataclass(frozen=True, eq=False)
class Names:
    """From ids to the first channels of groups."""

    rename: np.ndarray
    products: np.ndarray
    bounds: list

    def starts(self, ids: np.ndarray) -> tuple:
        """The groups' first channels among ids, and the place of each."""
        size = self.bounds[-1]
        channels, places = self.rename[ids], np.arange(len(ids))
        is_start = np.zeros(size + 1, bool)
        is_start[self.bounds[:-1]] = True
        of = channels >= size
        if of.any():
            factors = self.products[channels[of] - size]
            places = np.concatenate(
                [places[~of], np.repeat(places[of], factors.shape[1])]
            )
            channels = np.concatenate([channels[~of], factors.reshape(-1)])
            known = channels >= 0
            channels, places = channels[known], places[known]
            order = np.argsort(places, kind="stable")
            channels, places = channels[order], places[order]
        hits = np.flatnonzero(is_start[channels])  # -1, which is no channel, is none
        return channels[hits].tolist(), places[hits].tolist()


def _all_known(ids, rename, done):
    """Channels of ids; None where there are none, or one is none of a channel."""
    if ids is None:
        return None
    if id(ids) not in done:
        numbers = rename[ids]
        done[id(ids)] = numbers if (numbers >= 0).all() else None
    return done[id(ids)]


def _renamed(ids, rename, done):
    if id(ids) not in done:
        done[id(ids)] = rename[ids]
    return done[id(ids)]


def _tie_calls(book, path, entries):
    """A layer called several times has one set of weights: its calls are tied.

    What is in a nested model is called once for each call of that: the same node.
    """
    first, nodes = entries[0], {}
    for entry in entries:
        a, b = first.effect, entry.effect
        if a is not b:
            book.tie_values((a.weights, a.config), (b.weights, b.config), path)
        same = nodes.setdefault(entry.call.number, b)
        if same is not b:
            mine, other = ((e.arguments, _where(e), e.inner) for e in (same, b))
            book.tie_values(mine, other, path)


def _hold_shared_weights(book, effects):
    """Weights of several layers, such as tied embeddings, keep their channels.

    Raises:
        ModelError: layers share a variable, but no layer that holds it.
    """
    held = [
        (path, holder, variable)
        for path, entries in effects.items()
        if calls.is_layer(entries[0].call.op)
        for holder in calls.layers_in(entries[0].call.op)
        for variable in (
            *holder._trainable_variables,
            *holder._non_trainable_variables,
        )
    ]
    if len({id(variable) for *_, variable in held}) == len(held):
        return
    owners = collections.defaultdict(list)  # by identity of the variable
    for each in held:
        owners[id(each[2])].append(each)
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
            for name, variable in variables(op).items():
                if variable is shared[0][2]:
                    for ids in id_arrays(effect.weights.get(name, ())):
                        book.freeze(ids, f"{path}: shares '{name}' with other layers")


def _where(effect):
    return {place[:2]: place[2] for place in (*effect.contracts, *effect.statistics)}


def _ends(entry):
    """The ids on a layer's input and output channels, where there is such an axis.

    Of an operation only those that its one output has of layers.
    """
    rule_call, effect = entry.seen, entry.effect
    inputs, outputs = effect.inputs, effect.produces
    if not calls.is_layer(entry.call.op):
        known = len(entry.outputs) == 1 and (entry.outputs[0].ids >= 0).all()
        return None, _channel_vector(rule_call, entry.outputs[0]) if known else None
    if inputs is None and rule_call.inputs:
        inputs = _channel_vector(rule_call, rule_call.x)
    if outputs is None and entry.outputs:
        outputs = _channel_vector(rule_call, entry.outputs[0])
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
    for _, _, ids, _ in effect.statistics:
        yield ids
    for ids, _ in effect.inner.values():
        yield ids
    for _, _, ids, _ in effect.inside:
        yield ids
    for _, factors in effect.products:
        yield from factors
    if effect.config or effect.arguments:
        yield from id_arrays((effect.config, effect.arguments))


def _groups(book, effects, names, why):
    # Whatever holds one channel of a group holds all: the first one speaks for it.
    makers = [(path, ids) for path, ids in book.makers if path is not None]
    readers = [
        (path, ids)
        for path, entries in effects.items()
        for entry in entries
        for ids in _read(entry.effect)
    ]
    planes = [
        (path, entry.effect.adds)
        for path, entries in effects.items()
        for entry in entries
        if entry.effect.adds is not None
    ]
    producers = _names_by_channel(makers, names)
    adders = _names_by_channel(planes, names)
    consumers = _names_by_channel(readers, names)
    used = collections.Counter()
    groups = []
    bounds = names.bounds
    for start, stop, reason in zip(bounds[:-1], bounds[1:], why):
        made = tuple(producers[start])
        base, *_ = made or tuple(adders[start]) or (_culprit(reason),)
        name = f"{base}:{used[base]}" if used[base] else base
        used[base] += 1
        groups.append(
            Group(name, range(start, stop), made, tuple(consumers[start]), reason)
        )
    return tuple(groups)


def _read(effect):
    """Ids of channels that are contracted; what is only counted is not read."""
    inner = (ids for ids, _ in effect.inner.values())
    return [*(ids for _, _, ids in effect.contracts), *inner]


def _names_by_channel(named, names):
    """First channel of a group → ordered set of the names whose ids hold it."""
    found = collections.defaultdict(dict)
    if named:
        owner = np.repeat(np.arange(len(named)), [len(ids) for _, ids in named])
        starts = names.starts(np.concatenate([ids for _, ids in named]))
        for channel, place in zip(*starts):
            found[channel][named[owner[place]][0]] = None
    return found


def _culprit(reason):
    """The layer that a reason speaks of; inputs have no stable names of their own."""
    return "input" if reason.startswith("model input") else reason.split(":")[0]


def _site(entries, rename):
    # A call on positions knows no weights by channel, another one may.
    first = next((e.effect for e in entries if e.effect.weights), entries[0].effect)
    op = entries[0].call.op
    nodes = {e.call.number: e.effect for e in reversed(entries)}

    fields = {
        "weights": first.weights,
        "config": first.config,
        "products": tuple(p for e in entries for p in e.effect.products),
        "arguments": {k: e.arguments for k, e in nodes.items()},
        "contracts": {k: e.contracts for k, e in nodes.items()},
        "inner": {k: e.inner for k, e in nodes.items()},
        "statistics": {k: e.statistics for k, e in nodes.items()},
        "inside": first.inside,
        "gains": first.gains,
        "adds": first.adds,
    }
    renamed: dict = {}  # by identity: one array stands in several places
    fields = map_ids(
        lambda ids: _numbers(ids, rename, renamed), _settled(fields, rename)
    )
    uses = {
        name: _total(e.effect.uses[name] for e in entries if name in e.effect.uses)
        for name in first.uses
    }
    shape = entries[-1].outputs[0].shape if entries[-1].outputs else ()
    return Site(
        kind=type(op).__name__,
        kernels=first.kernels,
        reads=first.reads,
        uses=uses,
        shape=tuple(shape),
        weight_shapes={k: tuple(v.shape) for k, v in variables(op).items()},
        uncounted=any(e.effect.uncounted for e in entries),
        tried=find_rule(op) is None,
        why=next(
            (w for e in entries if (w := e.effect.stopped or e.effect.held)), None
        ),
        **fields,
    )


def _numbers(ids, rename, done):
    """Channels of ids; of what never changes how many they are."""
    known = _renamed(ids, rename, done)
    return len(ids) if _unnumbered(ids, rename) else known


def _unnumbered(ids, rename):
    return len(ids) > 0 and rename[ids[0]] < 0


def _settled(fields, rename):
    """The fields of a site without id arrays that never change."""

    def loose(ids):
        return ids is not None and not _unnumbered(ids, rename)

    def each(entries):
        return {k: tuple(x for x in v if loose(x[2])) for k, v in entries.items()}

    products = tuple(
        (
            None
            if macs is None
            else macs * math.prod(len(x) for x in ids if not loose(x)),
            tuple(x for x in ids if loose(x)),
        )
        for macs, ids in fields["products"]
    )
    weights = {
        name: tuple(ids if loose(ids) else None for ids in axes)
        for name, axes in fields["weights"].items()
    }
    return {
        **fields,
        "weights": weights,
        "products": products,
        "contracts": each(fields["contracts"]),
        "statistics": each(fields["statistics"]),
    }


def _total(values):
    values = list(values)
    return None if None in values else sum(values)
