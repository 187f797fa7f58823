"""The channels of a model, as plain values.

Every channel that a layer produces has an id; ties between ids make classes. A class is
one **channel of the network**: the smallest thing that can be removed.
"""

import dataclasses
import fnmatch
from typing import Any

import numpy as np

from hh_keras.graph.description import describe_channels, explain_layers

_INSIDE = (
    "num_heads", "num_query_heads", "num_key_value_heads", "key_dim", "value_dim",
    "head_dim",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Group:
    """Channels that the same layers produce and consume.

    Attributes:
        name: the first producer's name, with `:1`, `:2` … if a layer has several; of
            planes of a constant, which no layer makes, the operation that adds them.
        ids: the group's channels, consecutive integers.
        producers: names of the layers that make these channels.
        consumers: names of the layers that sum over them.
        frozen: why none of them can be removed, or None.

    Examples:
        >>> group = hh_keras.trace(model).group("conv_1")
        >>> group.producers, group.consumers, len(group)
        (('conv_1',), ('conv_2',), 16)
        >>> [group.frozen for group in channels.groups]
        ["model input 'image'", None, None, 'model output']
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

    See `hh_keras.graph.rules.Effect` for the fields. `tried` says that there is no
    rule, so that a trial found out; `why` what keeps channels from leaving.
    `arguments`, `contracts`, `inner` and `statistics` are by the `number` of each
    `Call` of the layer.
    """

    kind: str
    weights: dict
    config: dict
    kernels: dict
    reads: dict
    uses: dict
    products: tuple
    arguments: dict
    contracts: dict
    inner: dict
    inside: tuple
    statistics: dict
    gains: dict
    adds: np.ndarray | None
    shape: tuple
    weight_shapes: dict
    uncounted: bool
    tried: bool
    why: str | None

    def inside_counts(self) -> dict:
        """Entry of the config → ids, of what a layer of attention has inside."""
        found = ((key, self.config.get(key)) for key in _INSIDE)
        return {key: ids for key, ids in found if isinstance(ids, np.ndarray)}

    def contracted(self, weight: str, axis: int) -> bool:
        """Whether the layer sums over an axis of a weight."""
        inner = [names for each in self.inner.values() for _, names in each.values()]
        along = [names.get(weight) for names in (self.kernels, *inner)]
        return any(axis in (a.values() if isinstance(a, dict) else [a]) for a in along)


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelMap:
    """The channels of a model.

    Attributes:
        size: number of network channels, the length of a score or keep array.
        groups: tuple of `Group`, in the order of the ids.
        inputs: layer name → int array `(input channels,)` of network channels.
        outputs: the same of output channels, for operations too that hold nothing else.
        sites: layer name → `Site`, what rebuilding and costing need.
        model_name: the traced model's name.
        products: int array `(products, factors)`. In id arrays `size + k` stands for
            what is there as long as all the channels of row k are, such as a number of
            one head; -1 where a row has fewer.

    Examples:
        >>> channels = hh_keras.trace(model)
        >>> channels.size, [group.name for group in channels.groups]
        (45, ['input', 'conv_1', 'conv_2', 'logits'])
        >>> channels.outputs["conv_1"][:4].tolist()
        [3, 4, 5, 6]
        >>> print(channels.explain("conv_*"))
        layer   type    by    what it does to channels
        ------  ------  ----  ---------------------------------------
        conv_1  Conv2D  rule  makes 16; reads 3; kernel, bias follow
        conv_2  Conv2D  rule  makes 16; reads 16; kernel, bias follow
    """

    size: int
    groups: tuple
    inputs: dict
    outputs: dict
    sites: Any
    model_name: str
    products: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros((0, 0), int)
    )

    @property
    def removable(self) -> np.ndarray:
        """Bool array `(size,)`: which channels may be removed."""
        keep = np.zeros(self.size, bool)
        for group in self.groups:
            if group.frozen is None and len(group) > 1:
                keep[group.ids.start : group.ids.stop] = True
        return keep

    def whole(self, values: np.ndarray) -> np.ndarray:
        """Values of channels, and of the products of channels, to be taken by ids.

        Args:
            values: array `(size,)`: what is kept, how often, or scales; or what this
                returned.

        Returns:
            Array `(size + products,)`; a product has the product of its factors'.
        """
        if not len(self.products) or len(values) > self.size:
            return values
        padded = np.append(values, np.ones(1, values.dtype))
        products = padded[self.products].prod(1).astype(values.dtype)
        return np.concatenate([values, products])

    def shared_out(self, values: np.ndarray) -> np.ndarray:
        """Sums of values by id, `(size,)`: those of products go to each factor."""
        found = np.append(values[: self.size], 0.0)
        for factors in self.products.T:
            np.add.at(found, factors, values[self.size :])
        return found[:-1]

    @property
    def may_leave(self) -> np.ndarray:
        """Bool array `(size + products,)`: which ids may be removed."""
        return ~self.whole(~self.removable) if len(self.products) else self.removable

    @property
    def produced(self) -> np.ndarray:
        """Bool array `(size,)`: which channels a layer of the model produces."""
        made = np.zeros(self.size, bool)
        for ids in self.outputs.values():
            made[ids[ids < self.size]] = True
        for group in self.groups:  # heads, which are in no output
            made[group.ids.start : group.ids.stop] |= bool(group.producers)
        return made

    @property
    def removable_share(self) -> float:
        """Share of the produced channels that may be removed, 0 to 1."""
        produced = self.produced
        return float(self.removable[produced].mean()) if produced.any() else 0.0

    def group(self, name: str) -> Group:
        """Returns the group of that name; raises KeyError with the nearest names."""
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(f"no group '{name}'; groups: {[g.name for g in self.groups]}")

    def matching(self, pattern: str) -> list:
        """Returns the groups whose name fits a shell pattern such as `stage3*`."""
        return [g for g in self.groups if fnmatch.fnmatchcase(g.name, pattern)]

    def explain(self, pattern: str = "*") -> str:
        """Says of each layer what it does to channels, and how that is known.

        Args:
            pattern: a shell pattern of layers' names, such as `block_3.*`.

        Returns:
            A table: by a rule, or by trial; what it makes and reads, which weights
            follow the channels, or why channels stay.
        """
        return explain_layers(self, pattern)

    def __str__(self):
        return str(describe_channels(self))

    def _repr_html_(self) -> str:
        return describe_channels(self)._repr_html_()
