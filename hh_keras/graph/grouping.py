"""The groups of a traced model: which layers make and read the channels of each."""

import collections
import dataclasses

import numpy as np

from hh_keras.graph.channels import Group
from hh_keras.graph.ledger import Ledger


@dataclasses.dataclass(frozen=True, eq=False)
class Numbering:
    """From ids to channels, and from these to the groups they begin.

    Attributes:
        rename: id → channel, or from the number of channels on a product; int array.
        products: the channels that each product is of, int `(products, factors)`.
        bounds: the groups' first channels, and the number of all.
    """

    rename: np.ndarray
    products: np.ndarray
    bounds: list[int]

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


def groups_of(
    book: Ledger, effects: dict, numbering: Numbering, why: list
) -> tuple[Group, ...]:
    """The groups in the order of their channels, each with a name of its own.

    Args:
        book: the `Ledger` of the trace.
        effects: layer name → its entries, one for each call.
        numbering: where the groups begin.
        why: for each group what froze it, None if nothing did.
    """
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
    producers = _names_by_channel(makers, numbering)
    adders = _names_by_channel(planes, numbering)
    consumers = _names_by_channel(readers, numbering)
    used: collections.Counter[str] = collections.Counter()
    groups = []
    bounds = numbering.bounds
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


def _names_by_channel(named, numbering):
    """First channel of a group → ordered set of the names whose ids hold it."""
    found = collections.defaultdict(dict)
    if named:
        owner = np.repeat(np.arange(len(named)), [len(ids) for _, ids in named])
        starts = numbering.starts(np.concatenate([ids for _, ids in named]))
        for channel, place in zip(*starts):
            found[channel][named[owner[place]][0]] = None
    return found


def _culprit(reason):
    """The layer that a reason speaks of; inputs have no stable names of their own."""
    return "input" if reason.startswith("model input") else reason.split(":")[0]
