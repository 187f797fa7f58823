"""Layers that sum over channels and make new ones: convolution, dense, products."""

import math

import keras
import numpy as np

from hh_keras.graph.ids import IdTensor, on_axis
from hh_keras.graph.rules.activations import freeze_if_mixed
from hh_keras.graph.rules.registry import Effect, register_rule

# Below this many channels per group whole groups leave, as in the paper's RegNets.
WHOLE_GROUP_WIDTH = 16

_L = keras.layers


def _channel_axis(layer, rank):
    return 1 if layer.data_format == "channels_first" else rank - 1


def _positions(shape, axis):
    """How many output positions an example has; None if a size is unknown."""
    sizes = [n for i, n in enumerate(shape) if i not in (0, axis)]
    return None if None in sizes else math.prod(sizes)


def _varies_in_space(call, axis):
    return any(a != axis for a in call.x.varying)


def _bias(layer, ids):
    return {"bias": (ids,)} if layer.use_bias else {}


@register_rule(_L.Conv1D, _L.Conv2D, _L.Conv3D)
def conv(layer, call):
    axis = _channel_axis(layer, call.x.rank)
    if _varies_in_space(call, axis):
        return call.stops("convolves along an axis of channels")
    inputs = call.along(call.x, axis)
    outputs = call.fresh(layer.filters)
    freeze_if_mixed(layer, call, outputs)
    space = (None,) * layer.rank
    positions = _positions(call.shape, axis)
    if layer.groups > 1:
        return _grouped_conv(layer, call, axis, inputs, outputs, space, positions)
    return Effect(
        call.produced(outputs, axis),
        produces=outputs,
        weights={"kernel": (*space, inputs, outputs), **_bias(layer, outputs)},
        config={"filters": outputs},
        contracts=((0, axis, inputs),),
        kernels={"kernel": layer.rank},
        uses={"kernel": positions},
        inputs=inputs,
    )


def _grouped_conv(layer, call, axis, inputs, outputs, space, positions):
    """Narrow groups leave whole, wide ones lose the same positions in every group."""
    g = layer.groups
    ins, outs = inputs.reshape(g, -1), outputs.reshape(g, -1)
    if ins.shape[1] < WHOLE_GROUP_WIDTH:
        for block in (ins, outs):
            call.tie(np.broadcast_to(ins[:, :1], block.shape), block)
        return Effect(
            call.produced(outputs, axis),
            produces=outputs,
            weights={"kernel": (*space, None, outputs), **_bias(layer, outputs)},
            config={"filters": outputs, "groups": ins[:, 0]},
            uses={"kernel": positions},
            inputs=inputs,
        )
    for block in (ins, outs):
        call.tie(np.broadcast_to(block[:1], block.shape), block)
    return Effect(
        call.produced(outputs, axis),
        produces=outputs,
        weights={"kernel": (*space, ins[0], outputs), **_bias(layer, outputs)},
        config={"filters": outputs},
        contracts=((0, axis, inputs),),
        kernels={"kernel": layer.rank},
        uses={"kernel": positions},
        inputs=inputs,
    )


@register_rule(_L.Conv1DTranspose, _L.Conv2DTranspose, _L.Conv3DTranspose)
def conv_transpose(layer, call):
    axis = _channel_axis(layer, call.x.rank)
    if _varies_in_space(call, axis):
        return call.stops("convolves along an axis of channels")
    inputs = call.along(call.x, axis)
    outputs = call.fresh(layer.filters)
    freeze_if_mixed(layer, call, outputs)
    return Effect(
        call.produced(outputs, axis),
        produces=outputs,
        weights={
            "kernel": ((None,) * layer.rank + (outputs, inputs)),
            **_bias(layer, outputs),
        },
        config={"filters": outputs},
        contracts=((0, axis, inputs),),
        kernels={"kernel": layer.rank + 1},
        # Every input position meets the whole kernel once.
        uses={"kernel": _positions(call.x.shape, axis)},
        inputs=inputs,
    )


@register_rule(_L.DepthwiseConv1D, _L.DepthwiseConv2D)
def depthwise_conv(layer, call):
    axis = _channel_axis(layer, call.x.rank)
    if _varies_in_space(call, axis):
        return call.stops("convolves along an axis of channels")
    inputs = call.along(call.x, axis)
    outputs = np.repeat(inputs, layer.depth_multiplier)
    freeze_if_mixed(layer, call, outputs)
    return Effect(
        call.produced(outputs, axis),
        weights={
            "kernel": ((None,) * layer.rank + (inputs, None)),
            **_bias(layer, outputs),
        },
        uses={"kernel": _positions(call.shape, axis)},
        inputs=inputs,
    )


@register_rule(_L.SeparableConv1D, _L.SeparableConv2D)
def separable_conv(layer, call):
    axis = _channel_axis(layer, call.x.rank)
    if _varies_in_space(call, axis):
        return call.stops("convolves along an axis of channels")
    inputs = call.along(call.x, axis)
    middle = np.repeat(inputs, layer.depth_multiplier)
    outputs = call.fresh(layer.filters)
    freeze_if_mixed(layer, call, outputs)
    space = (None,) * layer.rank
    positions = _positions(call.shape, axis)
    return Effect(
        call.produced(outputs, axis),
        produces=outputs,
        weights={
            "depthwise_kernel": (*space, inputs, None),
            "pointwise_kernel": (*space, middle, outputs),
            **_bias(layer, outputs),
        },
        config={"filters": outputs},
        contracts=((0, axis, inputs),),
        kernels={"depthwise_kernel": layer.rank},
        uses={"depthwise_kernel": positions, "pointwise_kernel": positions},
        inputs=inputs,
    )


@register_rule(_L.Dense)
def dense(layer, call):
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
        uses={"kernel": _positions(call.shape, len(call.shape) - 1)},
        inputs=inputs,
    )


@register_rule(_L.Embedding)
def embedding(layer, call):
    outputs = call.fresh(layer.output_dim)
    call.freeze(call.x, f"{call.path}: channels used as indices")
    return Effect(
        call.produced(outputs),
        produces=outputs,
        weights={"embeddings": (None, outputs)},
        config={"output_dim": outputs},
    )


def _expand(equation, ranks):
    """Splits an einsum equation into letters, ellipses written out."""
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
def einsum_dense(layer, call):
    """New channels lie on the last letter that only kernel and output have."""
    x_term, k_term, out_term = _expand(layer.equation, [call.x.rank])
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
    fresh = None
    if new:
        fresh = call.fresh(shape[out_term.index(new[-1])])
        freeze_if_mixed(layer, call, fresh)
        axes[new[-1]] = fresh
    out_axes = [i for i, c in enumerate(out_term) if c in axes]
    if len(out_axes) > 1:
        return call.stops("keeps one axis of channels and makes another")
    output = (
        on_axis(axes[out_term[out_axes[0]]], out_axes[0], shape)
        if out_axes
        else call.fixed(shape, "no channels left")
    )
    weights = {"kernel": tuple(axes.get(c) for c in k_term)}
    if layer.bias_axes:
        weights["bias"] = _einsum_bias(layer, out_term, axes)
    contracted = [c for c in summed if c in axes]
    inputs = axes[contracted[0]] if contracted else None
    return Effect(
        output,
        produces=fresh,
        weights=weights,
        config=_einsum_config(layer, out_term, axes, len(shape)),
        contracts=tuple((0, x_term.index(c), axes[c]) for c in contracted),
        kernels={"kernel": k_term.index(contracted[0])} if contracted else {},
        uses={"kernel": _einsum_uses(shape, out_term, k_term)},
        inputs=inputs,
    )


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


def _einsum_uses(shape, out_term, k_term):
    sizes = [n for n, c in zip(shape[1:], out_term[1:]) if c not in k_term]
    return None if None in sizes else math.prod(sizes)


def _contract(call, a, b, axis_a, axis_b, output):
    """Ties and consumes the axis that a product of two activations sums over."""
    left, right = call.along(a, axis_a), call.along(b, axis_b)
    call.tie(left, right)
    batch = [n for i, n in enumerate(output.shape) if i > 0]
    moving = [call.along(output, i) for i in output.varying]
    sizes = [n for i, n in enumerate(output.shape) if i > 0 and i not in output.varying]
    known = None not in batch
    coefficient = math.prod(sizes) if known else None
    return Effect(
        output,
        contracts=((0, axis_a % a.rank, left),),
        products=((coefficient, (left, *moving)),),
    )


@register_rule("keras.ops.Matmul")
def matmul(op, call):
    if len(call.inputs) != 2 or min(t.rank for t in call.inputs) < 2:
        return call.stops("product with a constant or a vector")
    a, b = call.inputs
    rank = len(call.shape)
    rows, columns = a.rank - 2, b.rank - 1
    batch_varies = any(i < a.rank - 2 for i in a.varying) or any(
        i < b.rank - 2 for i in b.varying
    )
    if batch_varies:
        return call.stops("product batched over an axis of channels")
    return _contract(call, a, b, -1, -2, _outer(call, a, rows, b, columns, rank))


def _outer(call, a, rows, b, columns, rank):
    """Ids of a product's output: the rows of `a`, the columns of `b`."""
    row_varies, column_varies = rows in a.varying, columns in b.varying
    if row_varies and column_varies:
        call.freeze(a, f"{call.path}: product of two axes of channels")
        row_varies = False
    if column_varies:
        return on_axis(call.along(b, columns), rank - 1, call.shape)
    if row_varies:
        return on_axis(call.along(a, rows), rank - 2, call.shape)
    return call.fixed(call.shape, "product of activations")


@register_rule(_L.Dot)
def dot(layer, call):
    a, b = call.inputs
    axes = layer.axes
    axis_a, axis_b = (axes, axes) if isinstance(axes, int) else axes
    axis_a, axis_b = axis_a % a.rank, axis_b % b.rank
    if layer.normalize:
        return call.stops("normalises over channels")
    kept = [(a, i) for i in range(a.rank) if i != axis_a]
    kept += [(b, i) for i in range(1, b.rank) if i != axis_b]
    varying = [(t, i) for t, i in kept if i in t.varying]
    if len(kept) != len(call.shape) or len(varying) > 1:
        if len(kept) == 1 and not varying:  # (batch,) becomes (batch, 1)
            output = call.fixed(call.shape, "sum over channels")
            return _contract(call, a, b, axis_a, axis_b, output)
        return call.stops("product of two axes of channels")
    if varying:
        t, i = varying[0]
        output = on_axis(call.along(t, i), kept.index((t, i)), call.shape)
    else:
        output = call.fixed(call.shape, "product of activations")
    return _contract(call, a, b, axis_a, axis_b, output)


@register_rule("keras.ops.Sum")
def sum_(op, call):
    return reduce_axes(op, call, exact=True)


@register_rule(
    "keras.ops.Mean",
    "keras.ops.Max",
    "keras.ops.Min",
    "keras.ops.Prod",
    "keras.ops.Std",
    "keras.ops.Var",
    "keras.ops.Amax",
    "keras.ops.Amin",
)
def reduce(op, call):
    return reduce_axes(op, call, exact=False)


def reduce_axes(op, call, exact):
    """Reductions pass channels through on the axes that stay.

    Over the channels themselves only a sum is exact (removed channels add nothing);
    a mean, a maximum … would change, so they freeze.
    """
    x = call.x
    axes = op.axis
    axes = range(x.rank) if axes is None else axes
    axes = {a % x.rank for a in ([axes] if isinstance(axes, int) else axes)}
    over_channels = axes & set(x.varying)
    if over_channels and not exact:
        return call.stops(f"{type(op).__name__.lower()} over channels")
    if over_channels:
        axis = over_channels.pop()
        ids = call.along(x, axis)
        return Effect(
            call.fixed(call.shape, "sum over channels"), contracts=((0, axis, ids),)
        )
    ids = x.ids
    if not op.keepdims:
        ids = ids.reshape([n for i, n in enumerate(ids.shape) if i not in axes])
    return Effect(IdTensor(ids, tuple(call.shape)))
