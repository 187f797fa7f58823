"""What a model costs, as a closed form in its channel counts.

Multiply-accumulates (MACs) count convolutions, dense layers and products of
activations, for one example; FLOPs are twice the MACs. Parameters count every
weight, as `model.count_params()` does.
"""

import dataclasses
import math

import numpy as np

from hh_keras.errors import ModelError
from hh_keras.graph.channels import ChannelMap, trace
from hh_keras.graph.table import text_table

FLOPS_PER_MAC = 2


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """Cost of one layer: `macs` per example, None if unknown; `params` weights."""

    name: str
    type: str
    macs: int | None
    params: int
    output_shape: tuple


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a model: `macs` per example, `params` weights, and both per layer.

    `uncounted` names the layers whose multiply-accumulates are not known, such as
    loops; `macs` is that of all others.
    """

    macs: int
    params: int
    layers: tuple = ()

    @property
    def uncounted(self):
        return tuple(row.name for row in self.layers if row.macs is None)

    @property
    def flops(self):
        """Floating-point operations for one example, 2 per multiply-accumulate."""
        return FLOPS_PER_MAC * self.macs

    def __str__(self):
        rows = [
            (r.name, r.type, r.output_shape, _count(r.macs), f"{r.params:,}")
            for r in self.layers
            if r.macs != 0 or r.params
        ]
        total = f"{self.macs:,}" + (" + unknown" if self.uncounted else "")
        rows.append(("total", "", "", total, f"{self.params:,}"))
        return text_table(("layer", "type", "output", "MACs", "params"), rows, (3, 4))


def _count(macs):
    return "unknown" if macs is None else f"{macs:,}"


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

    def __call__(self, kept):
        values = np.append(self.counts @ np.asarray(kept, float), 1.0)
        return tuple(
            float(coefficients @ values[factors].prod(1))
            for coefficients, factors in (self.macs, self.params)
        )

    def per_layer(self, kept):
        """Returns layer name → `(macs, params)`."""
        values = np.append(self.counts @ np.asarray(kept, float), 1.0)
        table = {}
        for kind, (coefficients, factors) in enumerate((self.macs, self.params)):
            amounts = coefficients * values[factors].prod(1)
            for owner, amount in zip(self.owners[kind], amounts):
                entry = table.setdefault(owner, [0.0, 0.0])
                entry[kind] += amount
        return table

    def marginals(self, kept=None):
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

    def marginal(self, kept=None):
        """MACs that one channel of each group costs, float array `(groups,)`."""
        return self.marginals(kept)[0]


_FACTORS = 3


def cost_model(channel_map: ChannelMap):
    """Writes the cost of a traced model as a function of its channel counts.

    MACs are NaN where the spatial size of the model's input is unknown.
    """
    starts = np.array([g.ids.start for g in channel_map.groups], int)
    sizes = np.array([len(g) for g in channel_map.groups], float)
    rows, index = [], {}

    def row(ids):
        """The index of an id array among the rows of `counts`."""
        key = ids.tobytes()
        if key not in index:
            index[key] = len(rows)
            group = np.searchsorted(starts, ids, side="right") - 1
            rows.append(np.bincount(group, minlength=len(sizes)) / sizes)
        return index[key]

    macs, params, owners = [], [], ([], [])
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


def cost(model, input_shape=None):
    """Counts multiply-accumulates and parameters of a model.

    Args:
        model: a functional or Sequential Keras model.
        input_shape: input shape without the batch; needed if the model's own has
            unknown sizes.

    Returns:
        A `Cost`; `str(cost)` is a table per layer.

    Raises:
        ModelError: the spatial size is unknown and no `input_shape` is given.
    """
    channel_map = trace(model, input_shape)
    costs = cost_model(channel_map)
    macs, params = costs(costs.sizes)
    if macs != macs:
        raise ModelError(
            f"the MACs of model '{model.name}' depend on its input size, which is "
            f"{_input_text(model)}: pass input_shape=(height, width, channels)."
        )
    from hh_keras.graph.calls import leaf_operations

    amounts = costs.per_layer(costs.sizes)
    layers = []
    for path, op in leaf_operations(model):
        site = channel_map.sites[path]
        layer_macs = None if site.uncounted else round(amounts.get(path, (0, 0))[0])
        count = op.count_params() if hasattr(op, "count_params") and op.built else 0
        layers.append(LayerCost(path, site.kind, layer_macs, count, site.shape[1:]))
    return Cost(round(macs), round(params), tuple(layers))


def _input_text(model):
    return ", ".join(str(tuple(t.shape)[1:]) for t in model.inputs)
