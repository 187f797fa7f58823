"""The latency of a network as a function of its channel counts."""

import collections
import dataclasses
import hashlib
import itertools
from collections.abc import Sequence

import keras
import numpy as np

from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.tracing import trace
from hh_keras.latency.table import LatencyTable, contraction
from hh_keras.latency.units import Unit, units
from hh_keras.latency.units import counts as unit_counts
from hh_keras.latency.values import groups_of


def architecture(found: Sequence[Unit]) -> str:
    """What networks that differ in channel counts alone have in common, a short text.

    Args:
        found: the network's `units`.

    Examples:
        >>> one, other = (hh_keras.latency.units(network) for network in (model, small))
        >>> hh_keras.latency.architecture(one) == hh_keras.latency.architecture(other)
        True
    """
    text = "\n".join(unit.key for unit in found)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True, eq=False)
class LatencyModel:
    """Milliseconds as a function of the kept channels of each group.

    Calling it with `kept`, int array `(groups,)`, returns milliseconds.

    Attributes:
        table: the `LatencyTable`.
        units: the network's units.
        architecture: see `architecture`.
        counts: float array `(2, units, factors)`, how many channels of a unit's input
            and of its output are of one group, or products of those of several.
        factors: int array `(factors, n)`: which groups' shares are multiplied; -1 is
            none.
        sizes: int array `(groups,)`, of whole groups.
        fixed: int array `(2, units)`, channels that no group has.

    A convolution from 16 channels of group 1 to 24 of group 2 has counts 16 at the
    input and 24 at the output, with factors (1, -1) and (2, -1). What four heads
    (group 3) of six numbers (group 4) hold has one count, 24, with factors (3, 4): with
    half of either it is 12, with half of both 6.

    Examples:
        >>> table = hh_keras.latency.LatencyTable.load("phone.json")
        >>> milliseconds = hh_keras.latency.latency_model(model, table)
        >>> whole = np.array([len(group) for group in channels.groups])
        >>> milliseconds(whole) > milliseconds(np.maximum(1, whole // 2))
        True
    """

    table: LatencyTable
    units: list
    architecture: str
    counts: np.ndarray
    factors: np.ndarray
    sizes: np.ndarray
    fixed: np.ndarray
    _known: dict = dataclasses.field(default_factory=dict)

    def __call__(self, kept: Sequence[int] | np.ndarray) -> float:
        total = self.table.total_ms(self.architecture, sum(self.per_unit(kept)))
        return float(total)

    def per_unit(self, kept: Sequence[int] | np.ndarray) -> list[float]:
        """Milliseconds of each unit, a list."""
        shares = np.append(np.asarray(kept, float) / self.sizes, 1)
        n_in, n_out = np.rint(self.counts @ shares[self.factors].prod(1)) + self.fixed
        found = []
        for index, key in enumerate(zip(n_in.astype(int).tolist(), n_out.tolist())):
            where = (index, *key)
            if where not in self._known:
                ms = self.table.unit_ms(self.units[index], key[0], int(key[1]))
                self._known[where] = ms
            found.append(self._known[where])
        return found

    def steps(self, channel_map: ChannelMap) -> list[int]:
        """Channels that each group may gain or lose at a time at full use of a step.

        Int list `(groups,)`.
        """
        steps = [1] * len(channel_map.groups)
        for unit, row in zip(self.units, self.counts[1]):
            step = self.table.steps.get(contraction(unit), (1, 1))[1]
            makes = {s.path for s in unit.steps}
            for term in np.flatnonzero(row):
                for g in self.factors[term]:
                    if g < 0 or not makes & set(channel_map.groups[g].producers):
                        continue
                    times = max(1, round(row[term] / self.sizes[g]))
                    steps[g] = max(steps[g], step // np.gcd(step, times))
        return [min(int(s), len(g)) for s, g in zip(steps, channel_map.groups)]


def latency_model(
    model: keras.Model,
    table: LatencyTable,
    channel_map: ChannelMap | None = None,
    input_shape: tuple | None = None,
) -> LatencyModel:
    """Makes the latency of a network a function of its channel counts.

    Args:
        model: a functional or Sequential Keras model.
        table: a `LatencyTable` that has its kinds of layers.
        channel_map: its `ChannelMap`, if known.
        input_shape: of one example, for a model of unknown spatial size.

    Returns:
        A `LatencyModel`.

    Raises:
        LatencyError: the table lacks a kind of layer, or has it on fewer channels.

    Examples:
        >>> table = hh_keras.latency.LatencyTable.load("phone.json")
        >>> milliseconds = hh_keras.latency.latency_model(model, table)
        >>> whole = np.array([len(group) for group in channels.groups])
        >>> milliseconds(whole) == hh_keras.latency.predict_latency(model, table)
        True
    """
    channel_map = channel_map or trace(model, input_shape)
    found = units(model, channel_map, input_shape)
    for unit in found:
        table.check_reach(unit, *unit_counts(unit))
    fixed = np.zeros((2, len(found)), int)
    # (side, unit, groups whose channels are multiplied) → how many there are
    sums: collections.Counter = collections.Counter()
    for u, unit in enumerate(found):
        for side, values in enumerate((unit.inputs, (unit.output,))):
            for value in values if side or not unit.inner else ():
                if value.ids is None or value.ids.size == 1:
                    fixed[side, u] += value.shape[-1] if value.axes else 1
                    continue
                fixed[side, u] += np.sum(value.ids < 0)
                for groups, n in groups_of(value.ids, channel_map).items():
                    sums[side, u, groups] += n
        for pair in unit.inner:
            heads, sizes = (groups_of(ids, channel_map).items() for ids in pair)
            for (a, n), (b, m) in itertools.product(heads, sizes):
                sums[0, u, (*a, *b)] += n * m
    terms = list(dict.fromkeys(groups for *_, groups in sums))
    counts = np.zeros((2, len(found), len(terms)))
    for (side, u, groups), n in sums.items():
        counts[side, u, terms.index(groups)] = n
    longest = max(map(len, terms), default=1)
    factors = np.array([[*t, *[-1] * (longest - len(t))] for t in terms], int)
    return LatencyModel(
        table=table,
        units=found,
        architecture=architecture(found),
        counts=counts,
        factors=factors.reshape(-1, longest),
        sizes=np.array([len(g) for g in channel_map.groups], float),
        fixed=fixed,
    )


def predict_latency(
    model: keras.Model, table: LatencyTable, input_shape: tuple | None = None
) -> float:
    """Predicts how long one example takes.

    Args:
        model: a functional or Sequential Keras model.
        table: a `LatencyTable`.
        input_shape: of one example, for a model of unknown spatial size.

    Returns:
        Milliseconds on the table's device, with its threads and quantisation.

    Raises:
        LatencyError: the table lacks a kind of layer, or has it on fewer channels.

    Examples:
        >>> table = hh_keras.latency.LatencyTable.load("phone.json")
        >>> before = hh_keras.latency.predict_latency(model, table)
        >>> hh_keras.latency.predict_latency(small, table) < before
        True
    """
    channel_map = trace(model, input_shape)
    model = latency_model(model, table, channel_map, input_shape)
    return model([len(group) for group in channel_map.groups])
