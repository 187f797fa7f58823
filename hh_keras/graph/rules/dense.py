"""Dense layers of all kinds, and embeddings."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from hh_keras.graph.ids import IdTensor
from hh_keras.graph.rules.activations import (
    activation_name,
    freeze_if_mixed,
    mixes_channels,
)
from hh_keras.graph.rules.registry import (
    Effect,
    RuleCall,
    register_rule,
    takes_grids,
)

_L = keras.layers


def _bias(layer, ids):
    return {"bias": (ids,)} if layer.use_bias else {}


@register_rule(_L.Dense)
def dense(layer: Any, call: RuleCall) -> Effect:
    if call.elsewhere(call.x, -1):
        return _dense_over_positions(layer, call)
    inputs = call.along(call.x, -1)
    outputs = call.fresh(layer.units)
    freeze_if_mixed(layer, call, outputs)
    return Effect(
        call.produced(outputs),
        produces=outputs,
        weights={"kernel": (inputs, outputs), **_bias(layer, outputs)},
        config={"units": outputs},
        contracts=((0, call.x.rank - 1, inputs),),
        kernels={"kernel": 0},
        uses={"kernel": call.positions(call.shape, -1)},
        inputs=inputs,
    )


def _dense_over_positions(layer, call):
    """Mixes positions, each channel by itself: channels pass, positions stay."""
    x = call.x
    if mixes_channels(layer.activation):
        return call.stops(
            f"activation '{activation_name(layer.activation)}' works across positions"
        )
    units = call.fresh(layer.units)
    call.freeze(units, f"{call.path}: makes positions, not channels")
    ids = [call.along(x, axis) for axis in x.varying]
    each = call.positions(call.shape, *x.varying)
    macs = None if each is None else each * x.shape[-1]
    return Effect(
        IdTensor(x.ids, tuple(call.shape)),
        produces=units,
        products=((macs, tuple(ids)),),
    )


@register_rule(_L.Embedding)
def embedding(layer: Any, call: RuleCall) -> Effect:
    outputs = call.fresh(layer.output_dim)
    call.freeze(call.x, f"{call.path}: channels used as indices")
    return Effect(
        call.produced(outputs),
        produces=outputs,
        weights={"embeddings": (None, outputs)},
        config={"output_dim": outputs},
    )


@register_rule(_L.ReversibleEmbedding)
def reversible_embedding(layer: Any, call: RuleCall) -> Effect:
    """The table is also read the other way: channels in, a number for each word out."""
    reverse = call.kwargs.get("reverse", call.args[1] if len(call.args) > 1 else False)
    if not reverse:
        effect = embedding(layer, call)
        ids = effect.produces
    else:
        ids = call.along(call.x, -1)
        each = call.positions(call.x.shape, -1)
        macs = None if each is None else each * layer.input_dim
        effect = Effect(
            call.fixed(call.shape, "a number for each word"),
            weights={"embeddings": (None, ids)},
            config={"output_dim": ids},
            contracts=((0, call.x.rank - 1, ids),),
            products=((macs, (ids,)),),
            inputs=ids,
        )
    own = {} if layer.tie_weights else {"reverse_embeddings": (ids, None)}
    return dataclasses.replace(effect, weights={**effect.weights, **own})


def expand(equation: str, ranks: Sequence) -> list:
    """Splits an einsum equation into letters, ellipses written out.

    Args:
        equation: such as `"...c,cd->...d"`.
        ranks: of the operands that may have ellipses, as far as they are known.

    Returns:
        The letters of each operand, and of the output last.
    """
    left, right = equation.replace(" ", "").split("->")
    terms = left.split(",")
    free = iter("0123456789")
    dots = ""
    for term, rank in zip(terms, ranks):
        if "..." in term:
            missing = rank - len(term.replace("...", ""))
            if len(dots) < missing:
                dots += "".join(next(free) for _ in range(missing - len(dots)))
    return [t.replace("...", dots) for t in [*terms, right]]


@register_rule(_L.EinsumDense)
@takes_grids
def einsum_dense(layer: Any, call: RuleCall) -> Effect:
    """New channels lie on the letters that only kernel and output have."""
    x_term, k_term, out_term = expand(layer.equation, [call.x.rank])
    if len(x_term) != call.x.rank or len(out_term) != len(call.shape):
        return call.stops(f"equation '{layer.equation}' is not understood")
    # Keras leaves sizes that are None in the layer's output_shape open.
    sizes = dict(zip(x_term, call.x.shape))
    shape = tuple(
        sizes.get(c) if n is None else n for c, n in zip(out_term, call.shape)
    )
    axes = {}  # letter → ids, for letters along which ids vary
    for i in call.x.varying:
        axes[x_term[i]] = call.along(call.x, i)
    summed = [c for c in x_term if c in k_term and c not in out_term]
    if any(c not in k_term and c not in out_term for c in axes):
        return call.stops("sums over channels without a weight")
    if not axes and summed:
        axes[summed[-1]] = call.along(call.x, x_term.index(summed[-1]))
    new = [c for c in out_term if c in k_term and c not in x_term]
    passing = [c for c in axes if c in out_term and c not in k_term]
    fresh = None
    for c in new:
        fresh = call.fresh(shape[out_term.index(c)])
        freeze_if_mixed(layer, call, fresh)
        if passing and not any(c in axes for c in summed):
            call.freeze(fresh, f"{call.path}: makes positions, not channels")
        else:
            axes[c] = fresh
    output = call.placed(
        {i: axes[c] for i, c in enumerate(out_term) if c in axes},
        shape,
        "no channels left",
    )
    weights = {"kernel": tuple(axes.get(c) for c in k_term)}
    if layer.bias_axes:
        weights["bias"] = _einsum_bias(layer, out_term, axes)
    contracted = {x_term.index(c): k_term.index(c) for c in summed if c in axes}
    kernels = {"kernel": dict(contracted)} if contracted else {}
    if len(contracted) == 1:
        kernels = {"kernel": next(iter(contracted.values()))}
    inputs = [axes[c] for c in summed if c in axes]
    return Effect(
        output,
        produces=fresh if len(new) == 1 else None,
        weights=weights,
        config=_einsum_config(layer, out_term, axes, len(shape)),
        contracts=tuple((0, i, axes[x_term[i]]) for i in contracted),
        kernels=kernels,
        uses={} if passing else {"kernel": _einsum_uses(call, shape, out_term, k_term)},
        products=_einsum_products(call, (x_term, out_term), shape, axes, passing),
        inputs=inputs[0] if len(inputs) == 1 else None,
    )


def _einsum_products(call, terms, shape, axes, passing):
    """Multiply-accumulates where channels pass that the kernel does not know."""
    if not passing:
        return ()
    x_term, out_term = terms
    kept = [i for i, c in enumerate(out_term) if c in axes]
    macs = call.positions(shape, *kept)
    for c, n in zip(x_term, call.x.shape):
        if c not in out_term and c not in axes:
            macs = None if None in (macs, n) else macs * n
    return ((macs, tuple(axes.values())),)


def _einsum_bias(layer, out_term, axes):
    """A bias has an axis for each output letter from the first of its own on."""
    first = min(out_term.index(c) for c in layer.bias_axes)
    return tuple(
        axes.get(c) if c in layer.bias_axes else None for c in out_term[first:]
    )


def _einsum_config(layer, out_term, axes, rank):
    partial = layer.partial_output_shape
    letters = out_term[rank - len(partial) :]
    if not any(c in axes for c in letters):
        return {}
    sizes = tuple(
        axes[c] if c in axes and n is not None else n for c, n in zip(letters, partial)
    )
    return {"output_shape": sizes}


def _einsum_uses(call, shape, out_term, k_term):
    return call.positions(shape, *(i for i, c in enumerate(out_term) if c in k_term))
