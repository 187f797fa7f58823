"""What a model costs, as a closed form in its channel counts."""

import dataclasses
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
            the counts of its (at most three) id arrays.
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


_FACTORS = 3


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

    macs, params = [], []
    owners: tuple = ([], [])
    for name, site in channel_map.sites.items():
        for weight, axes in site.weights.items():
            factors = [row(ids) for ids in axes if ids is not None]
            fixed = math.prod(
                n for n, a in zip(site.weight_shapes[weight], axes) if a is None
            )
            params.append((fixed, factors))
            owners[1].append(name)
            if weight in site.uses:
                use = site.uses[weight]
                macs.append((math.nan if use is None else use * fixed, factors))
                owners[0].append(name)
        for coefficient, arrays in site.products:
            value = math.nan if coefficient is None else coefficient
            macs.append((value, [row(ids) for ids in arrays]))
            owners[0].append(name)
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
    factors = np.full((len(terms), _FACTORS), one)
    for i, (_, used) in enumerate(terms):
        factors[i, : len(used)] = used
    return coefficients, factors
