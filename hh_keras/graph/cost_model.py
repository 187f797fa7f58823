"""What a model costs, as a closed form in its channel counts."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class CostModel:
    """MACs and parameters as a polynomial in the number of kept channels per group.

    Calling it with `kept`, float array `(groups,)`, returns `(macs, params)`.

    Attributes:
        sizes: channels in each group.
        smallest: the least counts possible, frozen groups whole.
        counts: `(vectors, groups)`, how often a channel of a group stands in an id
            array.
        macs, params: terms `(coefficients, factors)`; a term is its coefficient times
            the counts of its id arrays; one of products of channels counts as the
            groups whose channels these are of.
    """

    sizes: np.ndarray
    smallest: np.ndarray
    counts: np.ndarray
    macs: tuple
    params: tuple
    owners: tuple = ()

    def __call__(self, kept: Any) -> Any:
        values = np.append(self.counts @ np.asarray(kept, float), 1.0)
        return tuple(
            float(coefficients @ values[factors].prod(1))
            for coefficients, factors in (self.macs, self.params)
        )

    def per_layer(self, kept: Any) -> dict:
        """Returns layer name → `(macs, params)`."""
        values = np.append(self.counts @ np.asarray(kept, float), 1.0)
        table: dict = {}
        for kind, (coefficients, factors) in enumerate((self.macs, self.params)):
            amounts = coefficients * values[factors].prod(1)
            for owner, amount in zip(self.owners[kind], amounts):
                entry = table.setdefault(owner, [0.0, 0.0])
                entry[kind] += amount
        return table

    def marginals(self, kept: Any = None) -> np.ndarray:
        """What one channel of each group costs, float arrays `(groups,)`.

        Returns:
            `(macs, params)`; zeros for groups without channels.
        """
        kept = np.asarray(self.sizes if kept is None else kept, float)
        full = np.array(self(kept))
        savings = np.zeros((2, len(kept)))
        for g in np.flatnonzero(kept > 0):
            less = kept.copy()
            less[g] -= 1
            savings[:, g] = full - self(less)
        return savings

    def marginal(self, kept: Any = None) -> np.ndarray:
        """MACs that one channel of each group costs, float array `(groups,)`."""
        return self.marginals(kept)[0]


def cost_model(channel_map: Any) -> CostModel:
    """Writes the cost of a traced model as a function of its channel counts.

    MACs are NaN where the spatial size of the model's input is unknown.
    """
    starts = np.array([g.ids.start for g in channel_map.groups], int)
    sizes = np.array([len(g) for g in channel_map.groups], float)
    rows: list = []
    index: dict = {}

    def row(ids):
        """The index of an id array among the rows of `counts`."""
        key = ids.tobytes()
        if key not in index:
            index[key] = len(rows)
            group = np.searchsorted(starts, ids, side="right") - 1
            rows.append(np.bincount(group, minlength=len(sizes)) / sizes)
        return index[key]

    def sums(ids):
        """How many of the ids are kept, as `[(coefficient, rows)]`."""
        plain = ids[ids < channel_map.size]
        found = [(1.0, [row(plain)])] if len(plain) else []
        factors = channel_map.products[ids[ids >= channel_map.size] - channel_map.size]
        of = np.where(
            factors < 0, -1, np.searchsorted(starts, factors, side="right") - 1
        )
        for groups, count in zip(*np.unique(of, axis=0, return_counts=True)):
            own = groups[groups >= 0]
            whole = [np.arange(starts[g], starts[g] + sizes[g], dtype=int) for g in own]
            found.append((count / sizes[own].prod(), [row(x) for x in whole]))
        return found

    def terms(coefficient, arrays):
        """A coefficient times the counts of id arrays, multiplied out."""
        every = itertools.product(*(sums(ids) for ids in arrays))
        for each in every:
            share = math.prod(c for c, _ in each)
            yield coefficient * share, [r for _, rows_ in each for r in rows_]

    macs: list[tuple] = []
    params: list[tuple] = []
    owners: tuple = ([], [])

    def add(kind, name, coefficient, arrays):
        for term in terms(coefficient, arrays):
            (macs, params)[kind].append(term)
            owners[kind].append(name)

    for name, site in channel_map.sites.items():
        for weight, axes in site.weights.items():
            arrays = [ids for ids in axes if ids is not None]
            fixed = math.prod(
                n for n, a in zip(site.weight_shapes[weight], axes) if a is None
            )
            add(1, name, fixed, arrays)
            if weight in site.uses:
                use = site.uses[weight]
                add(0, name, math.nan if use is None else use * fixed, arrays)
        for coefficient, arrays in site.products:
            add(0, name, math.nan if coefficient is None else coefficient, arrays)
    counts = np.array(rows).reshape(len(rows), len(sizes))
    frozen = np.array([g.frozen is not None for g in channel_map.groups], bool)
    model = CostModel(
        sizes=sizes,
        smallest=np.where(frozen, sizes, 1.0),
        counts=counts,
        macs=_terms(macs, len(rows)),
        params=_terms(params, len(rows)),
        owners=owners,
    )
    rest = channel_map.sites.count_params() - model(sizes)[1]
    return dataclasses.replace(
        model,
        params=_terms([*params, (rest, [])], len(rows)),
        owners=(owners[0], [*owners[1], None]),
    )


def _terms(terms, one):
    """Packs terms into arrays; unused factors point to a constant 1."""
    coefficients = np.array([c for c, _ in terms], float)
    most = max((len(used) for _, used in terms), default=0)
    factors = np.full((len(terms), most), one)
    for i, (_, used) in enumerate(terms):
        factors[i, : len(used)] = used
    return coefficients, factors
