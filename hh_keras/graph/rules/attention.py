"""Attention: heads, the numbers that queries meet keys by, and what values carry.

A head leaves with its queries, keys, values and what the output reads of it; of the
numbers in a head the same ones leave from every head. Scores are divided by the square
root of how many numbers there were: kernels that are inherited make up for it.
"""

import dataclasses
import inspect
import itertools
import math
from typing import Any

import keras
import numpy as np

from hh_keras.graph.ids import IdTensor, on_axis
from hh_keras.graph.rules.registry import (
    Effect,
    RuleCall,
    register_rule,
    takes_grids,
)
from hh_keras.graph.weights import variables

_L = keras.layers


def given_by_name(layer: Any, call: RuleCall) -> tuple[dict, dict]:
    """Arguments of a call by their names, and the positions of the tensors in them."""
    signature = inspect.signature(type(layer).call)
    places = itertools.count()
    order = keras.tree.map_structure(
        lambda x: next(places) if isinstance(x, IdTensor) else None,
        (call.args, call.kwargs),
    )
    given = signature.bind(layer, *call.args, **call.kwargs).arguments
    at = signature.bind(layer, *order[0], **order[1]).arguments
    return given, at


def _hold_masks(call, given, names):
    """What says where to attend, but for the inputs, is the same for all channels."""
    for name, x in given.items():
        if name not in names and isinstance(x, IdTensor):
            call.freeze(x, f"{call.path}: says where to attend")


def _inputs(layer, call):
    """Query, value and key with their ids and positions; None if not on the last."""
    given, at = given_by_name(layer, call)
    if given.get("key") is None:
        given["key"], at["key"] = given["value"], at["value"]
    names = ("query", "value", "key")
    _hold_masks(call, given, {*names, *_SCALES})
    tensors = [given[name] for name in names]
    if any(call.elsewhere(x, -1) for x in tensors):
        return None
    return [(x, call.along(x, -1), at[name]) for x, name in zip(tensors, names)]


# What the stand-ins among scaled layers are given besides.
_SCALES = ("heads", "keys", "values")


class _Parts:
    """The weights of the dense layers inside, by the names that `variables` gives."""

    def __init__(self, layer):
        self.names = {id(v): name for name, v in variables(layer).items()}

    def of(self, dense):
        """`(kernel, bias)`, the bias None if there is none."""
        return self.names[id(dense._kernel)], self.names.get(id(dense.bias))


def _weights(parts):
    """Weight name → ids of its axes, of `(names, ids of the kernel, of the bias)`."""
    named = {}
    for (kernel, bias), of_kernel, of_bias in parts:
        named[kernel] = of_kernel
        if bias is not None:
            named[bias] = of_bias
    return named


@register_rule(_L.MultiHeadAttention)
def multi_head_attention(layer: Any, call: RuleCall) -> Effect:
    ends = _inputs(layer, call)
    if ends is None or len(layer._output_shape or (0,)) > 1:
        return call.stops("attends along an axis of channels")
    heads = call.fresh(layer.num_heads)
    keys, values = call.fresh(layer.key_dim), call.fresh(layer.value_dim)
    outputs = call.fresh(call.shape[-1])
    sizes = {
        "num_heads": heads,
        "key_dim": keys,
        "value_dim": values,
        "output_shape": (outputs,),
    }
    gate = getattr(layer, "_use_gate", False)  # Keras 3.12 knows none
    inside = _Inside(heads, heads, keys, values, outputs, gate)
    return _attends(layer, call, ends, inside, sizes, layer._attention_axes)


@register_rule(_L.GroupQueryAttention)
def grouped_query_attention(layer: Any, call: RuleCall) -> Effect:
    """Heads that share keys and values leave together; the output is as wide as what
    asks."""
    ends = _inputs(layer, call)
    if ends is None:
        return call.stops("attends along an axis of channels")
    (_, q, _), (_, v, _), _ = ends
    call.tie(q, v)  # Keras wants them equally wide
    shared, size = call.fresh(layer.num_key_value_heads), call.fresh(layer.head_dim)
    outputs = call.fresh(call.shape[-1])
    call.tie(q, outputs)
    heads = np.repeat(shared, layer.num_repeats)
    sizes = {
        "num_query_heads": heads,
        "num_key_value_heads": shared,
        "head_dim": size,
    }
    gate = getattr(layer, "use_gate", False)
    inside = _Inside(heads, shared, size, size, outputs, gate)
    return _attends(layer, call, ends, inside, sizes, (1,))


@dataclasses.dataclass(frozen=True, eq=False)
class _Inside:
    """Ids of what an attention layer makes; `shared` are the heads of keys and values,
    `keys` and `values` the numbers of each head, which may be the same."""

    heads: np.ndarray
    shared: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    outputs: np.ndarray
    gated: bool


def _attends(layer, call, ends, inside, sizes, axes):
    """The effect of attention with projections of its own.

    Args:
        ends: see `_inputs`.
        sizes: the config's entries.
        axes: that are attended, of the values.
    """
    (query, q, at_q), (value, v, at_v), (key, k, at_k) = ends
    heads, shared, outputs = inside.heads, inside.shared, inside.outputs
    keys, values = inside.keys, inside.values
    of = _Parts(layer).of
    parts = {
        "q": (of(layer._query_dense), (q, heads, keys), (heads, keys)),
        "k": (of(layer._key_dense), (k, shared, keys), (shared, keys)),
        "v": (of(layer._value_dense), (v, shared, values), (shared, values)),
        "out": (of(layer._output_dense), (heads, values, outputs), (outputs,)),
    }
    if inside.gated:
        gate = of(layer._gate_dense), (q, heads, values), (heads, values)
        parts["gate"] = gate
    named = {part: names for part, (names, *_) in parts.items()}
    reads = {"q": at_q, "gate": at_q, "k": at_k, "v": at_v}
    asked = call.positions(query.shape, -1)
    counts = {"k": call.positions(key.shape, -1), "v": call.positions(value.shape, -1)}
    return Effect(
        _outputs(call, outputs, heads),
        produces=outputs,
        weights=_weights(parts.values()),
        config=sizes,
        contracts=_contracts(ends),
        kernels={named[part][0]: 0 for part in reads if part in named},
        reads={named[part][0]: at for part, at in reads.items() if part in named},
        inner=_scaled(inside, named),
        inside=_kernels(call, named, (q, k, v), heads, values),
        gains={name: (keys, 0.5) for name in named["q"] if name},
        uses={names[0]: counts.get(part, asked) for part, names in named.items()},
        products=_products(axes, value, asked, heads, (keys, values)),
        inputs=q,
    )


def _scaled(inside, named):
    """See `Effect.inner`; the same numbers for keys and values have one scale."""
    out, query = named["out"][0], _query_axes(named["q"])
    inner = {"heads": (inside.heads, {out: 0})}
    if inside.keys is inside.values:
        return {**inner, "values": (inside.values, {out: 1, **query})}
    return {**inner, "keys": (inside.keys, query), "values": (inside.values, {out: 1})}


def _kernels(call, named, inputs, heads, values):
    """The kernels within, and the channels that they read."""
    carried = call.book.product([heads, values]).reshape(-1)
    rows = dict(zip("qkv", inputs))
    found = [
        (f"_{name}_dense", named[name[0]][0], rows[name[0]], 1)
        for name in ("query", "key", "value")
    ]
    return (*found, ("_output_dense", named["out"][0], carried, 2))


def _contracts(ends):
    """Each tensor once, though it may be given as two of them."""
    return tuple(
        {at: (at, x.rank - 1, ids) for x, ids, at in ends}.values(),
    )


def _query_axes(names):
    """Scaling the numbers that queries and keys meet by is scaling the queries."""
    kernel, bias = names
    return {kernel: 2, bias: 1} if bias is not None else {kernel: 2}


def _products(axes, value, asked, heads, sizes):
    """Every query meets every key, and takes so much of every value, in each head."""
    known = [value.shape[a] for a in axes]
    macs = None if asked is None or None in known else asked * math.prod(known)
    return tuple((macs, (heads, size)) for size in sizes)


def _outputs(call, outputs, heads):
    made = [call.produced(outputs)]
    for shape in call.shapes[1:]:
        made.append(on_axis(heads, 1, shape))
    return made


@register_rule("keras.ops.DotProductAttention")
@takes_grids
def dot_product_attention(op: Any, call: RuleCall) -> Effect:
    """Heads on the third axis, the numbers of each on the fourth.

    The scale that follows from how many there are is written down.
    """
    names = inspect.signature(type(op).call).bind(op, *call.args, **call.kwargs)
    given = names.arguments
    query, key, value = (given[name] for name in ("query", "key", "value"))
    if any(set(x.varying) - {2, 3} for x in (query, key, value)):
        return call.stops("attends along an axis of channels")
    for name in ("bias", "mask"):
        if isinstance(given.get(name), IdTensor):
            call.freeze(given[name], f"{call.path}: says where to attend")
    own = [call.along(x, 2) for x in (query, key, value) if 2 in x.varying]
    together = len(own) == 3 and len({len(ids) for ids in own}) == 1
    vectors = {}
    for ids in own:
        if together:
            call.tie(own[0], ids)
            vectors[2] = own[0]
        else:  # fewer keys than queries, or heads of another's
            call.freeze(ids, f"{call.path}: heads of several numbers")
    if 3 in value.varying:
        vectors[3] = call.along(value, 3)
        call.tie(call.along(query, 3), vectors[3])  # Keras says so of the shape
    each = call.positions(query.shape, -1, *(a for a in vectors if a == 2))
    size = None if None in (each, key.shape[1]) else each * key.shape[1]
    heads = [vectors[2]] if 2 in vectors else []
    sides = [x for x in (query, key) if 3 in x.varying]
    sums: list = []
    contracts: tuple = ()
    if len(sides) == 2:
        sums = [call.along(query, 3)]
        call.tie(sums[0], call.along(key, 3))
        contracts = ((0, 3, sums[0]),)
    for x in sides if len(sides) == 1 else ():
        call.freeze(call.along(x, 3), f"{call.path}: meets no channels")
    scale = getattr(op, "scale", None) or given.get("scale")
    written = {} if scale else {"scale": _scale(query.shape[-1])}
    at_call = "scale" in given or not hasattr(op, "scale")
    return Effect(
        call.placed(vectors, tuple(call.shape), "attention"),
        contracts=contracts,
        config={} if at_call else written,
        arguments=written if at_call else {},
        products=tuple(
            (None if size is None else size * (1 if ids else n), (*heads, *ids))
            for ids, n in (
                (sums, query.shape[-1]),
                ([vectors[3]] if 3 in vectors else [], value.shape[-1]),
            )
        ),
    )


def _scale(size):
    """What Keras divides scores by, as it computes it."""
    return float(np.float32(1) / np.sqrt(np.float32(size)))


@register_rule(_L.Attention, _L.AdditiveAttention)
def attention(layer: Any, call: RuleCall) -> Effect:
    """Queries meet keys channel by channel; what comes out are the values' channels."""
    given, _ = given_by_name(layer, call)
    query, value, *rest = given["inputs"]
    key = rest[0] if rest else value
    for x in keras.tree.flatten(given.get("mask")):
        if isinstance(x, IdTensor):
            call.freeze(x, f"{call.path}: says where to attend")
    if any(call.elsewhere(x, -1) for x in (query, value, key)):
        return call.stops("attends along an axis of channels")
    met, carried = call.along(query, -1), call.along(value, -1)
    call.tie(met, call.along(key, -1))
    at = {0: (0, query.rank - 1, met)}
    added = isinstance(layer, _L.AdditiveAttention)
    if added or layer.score_mode == "concat":  # no product: either side counts alone
        at[2 if rest else 1] = (2 if rest else 1, key.rank - 1, met)
    asked, seen = call.positions(query.shape, -1), value.shape[-2]
    macs = None if None in (asked, seen) else asked * seen
    products = [(macs, (carried,))]
    if len(at) == 1:
        products.append((macs, (met,)))
    outputs = [on_axis(carried, -1, call.shape)]
    outputs += [call.fixed(shape, "scores") for shape in call.shapes[1:]]
    return Effect(
        outputs,
        weights={"scale": (met,)} if added and layer.use_scale else {},
        contracts=tuple(at.values()),
        products=tuple(products),
        inputs=met,
    )
