"""What the layers of a traced model have of its channels, one site each."""

import collections.abc
import math
from typing import Any

import keras
import numpy as np

from hh_keras.graph.channels import Site
from hh_keras.graph.rules import find_rule
from hh_keras.graph.values import map_ids
from hh_keras.graph.weights import variables


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
    if id(ids) not in done:
        done[id(ids)] = len(ids) if _unnumbered(ids, rename) else rename[ids]
    return done[id(ids)]


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
