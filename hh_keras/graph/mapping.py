"""From what every call does to ids to the channels of a model."""

import collections
import dataclasses

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.graph import calls, ledger
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.grouping import Numbering, groups_of
from hh_keras.graph.ledger import Ledger
from hh_keras.graph.rules import Effect, RuleCall
from hh_keras.graph.sites import Sites
from hh_keras.graph.values import id_arrays
from hh_keras.graph.weights import variables


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """One call of an operation, what it does to channels, and what comes out."""

    call: calls.Call
    seen: RuleCall
    effect: Effect
    outputs: list


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
    groups = groups_of(book, effects, Numbering(rename, table, bounds), why)
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


def _all_known(ids, rename, done):
    """Channels of ids; None where there are none, or one is none of a channel."""
    if ids is None:
        return None
    if id(ids) not in done:
        numbers = rename[ids]
        done[id(ids)] = numbers if (numbers >= 0).all() else None
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
