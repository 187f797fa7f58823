"""What a model costs.

Multiply-accumulates (MACs) count convolutions, dense layers and products of
activations, for one example; FLOPs are twice the MACs. Parameters count every
weight, as `model.count_params()` does.
"""

import dataclasses
from typing import Any

import keras

from hh_keras.errors import ModelError
from hh_keras.graph.calls import leaf_operations
from hh_keras.graph.cost_model import cost_model
from hh_keras.graph.opening.inline import ordinary
from hh_keras.graph.table import text_table
from hh_keras.graph.tracing import trace

FLOPS_PER_MAC = 2


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """Cost of one layer: `macs` per example, None if unknown; `params` weights.

    `inside` has heads and the numbers of each, of attention.
    """

    name: str
    type: str
    macs: int | None
    params: int
    output_shape: tuple
    inside: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a model: `macs` per example, `params` weights, and both per layer.

    `uncounted` names the layers whose multiply-accumulates are not known, such as
    loops; `macs` is that of all others.

    Examples:
        >>> found = hh_keras.cost(model)
        >>> found.macs, found.flops, found.params
        (52576, 105152, 2938)
        >>> [(layer.name, layer.macs) for layer in found.layers if layer.macs]
        [('conv_1', 15552), ('conv_2', 36864), ('logits', 160)]
    """

    macs: int
    params: int
    layers: tuple = ()

    @property
    def uncounted(self) -> tuple:
        return tuple(row.name for row in self.layers if row.macs is None)

    @property
    def flops(self) -> int:
        """Floating-point operations for one example, 2 per multiply-accumulate."""
        return FLOPS_PER_MAC * self.macs

    def __str__(self):
        return str(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def _table(self):
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


def cost(model: keras.Model, input_shape: Any = None) -> Cost:
    """Counts multiply-accumulates and parameters of a model.

    Args:
        model: a Keras model; see `trace`.
        input_shape: input shape without the batch; needed if the model's own has
            unknown sizes.

    Returns:
        A `Cost`; `str(cost)` is a table per layer.

    Raises:
        ModelError: the spatial size is unknown and no `input_shape` is given.

    Examples:
        >>> print(hh_keras.cost(model))
        layer   type    output        MACs  params
        ------  ------  ----------  ------  ------
        conv_1  Conv2D  (6, 6, 16)  15,552     448
        conv_2  Conv2D  (4, 4, 16)  36,864   2,320
        logits  Dense   (10,)          160     170
        total                       52,576   2,938
    """
    model = ordinary(model)
    channel_map = trace(model, input_shape)
    costs = cost_model(channel_map)
    macs, params = costs(costs.sizes)
    if macs != macs:
        raise ModelError(
            f"the MACs of model '{model.name}' "
            + (_unknown_at(channel_map, model) or _depends_on(model))
        )
    amounts = costs.per_layer(costs.sizes)
    layers = []
    for path, op in leaf_operations(model):
        site = channel_map.sites[path]
        layer_macs = None if site.uncounted else round(amounts.get(path, (0, 0))[0])
        count = op.count_params() if hasattr(op, "count_params") and op.built else 0
        inside = {key: len(ids) for key, ids in site.inside_counts().items()}
        shape = site.shape[1:]
        layers.append(LayerCost(path, site.kind, layer_macs, count, shape, inside))
    return Cost(round(macs), round(params), tuple(layers))


def _depends_on(model):
    return (
        f"depend on its input size, which is {_input_text(model)}: pass "
        "input_shape=(height, width, channels)."
    )


def _unknown_at(channel_map, model):
    """Where the count fails although the input's sizes are known."""
    if any(None in t.shape[1:] for t in model.inputs):
        return ""
    for path, site in channel_map.sites.items():
        counts = [*site.uses.values(), *(c for c, _ in site.products)]
        if None in counts:
            return (
                f"cannot be counted: the sizes of layer '{path}', {site.shape}, do not "
                "follow from the input's, for instance as it multiplies the examples "
                "of a batch with each other. Limit parameters (Budget(params=...)), or "
                "leave that layer out of the model that is shrunk."
            )
    return ""


def _input_text(model):
    return ", ".join(str(tuple(t.shape)[1:]) for t in model.inputs)
