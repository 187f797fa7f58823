"""One trainable scale per network channel, at the input of every consumer.

There a scale of zero is removal, exactly: whatever normalisation or activation made of
the channel is gone. And there the gradient tells something: it is the first-order
effect of deleting the channel, while before a BatchNormalization it would be zero.

What normalises over channels counts those whose scale is not zero, as it does when the
others are gone: no scale is multiplied in there, but its slope tells of that, too.
"""

import functools
import warnings
from typing import Any

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.cloning import clone_op
from hh_keras.graph.opening.inline import ordinary
from hh_keras.graph.tracing import trace
from hh_keras.surgery.channel_scale import ChannelScale, scale_layer
from hh_keras.surgery.inheritance import Inheritance, replay
from hh_keras.surgery.plan import Plan, expect_plan
from hh_keras.surgery.readers import cycle
from hh_keras.surgery.stand_ins import PLAIN, stand_in


def add_scales(
    model: keras.Model, channel_map: ChannelMap | None = None, regularizer: Any = None
) -> keras.Model:
    """Returns a copy of the model with a scale for every removable channel.

    Args:
        model: a model, see `trace`; it is not changed.
        channel_map: its `ChannelMap`; traced if None.
        regularizer: of the scales, see `ChannelSparsity`.

    Returns:
        A functional model with the same outputs (all scales are 1) and one more layer,
        `channel_scale`, whose weight `gamma` is float `(channel_map.size,)`. With
        nested models it cannot be loaded from a `.keras` file (Keras does not restore
        a variable shared between graphs): save `fold_scales(model)` instead.

    Examples:
        >>> scaled = hh_keras.add_scales(model)
        >>> np.allclose(scaled(images), model(images), atol=1e-5)
        True
        >>> tuple(scaled.get_layer("channel_scale").gamma.shape)
        (45,)
    """
    model = ordinary(model)
    channel_map = channel_map or trace(model)
    constraint = getattr(regularizer, "constraint", None)
    scales: dict = {}  # graph → its layer

    def scale_of(graph):
        if graph not in scales:
            own = () if scales else (regularizer, constraint)
            source = next(iter(scales.values()), None)
            scales[graph] = ChannelScale(
                channel_map.size, *own, source=source, name="channel_scale"
            )
        return scales[graph]

    removable = channel_map.may_leave
    heirs = []

    def make(path, op):
        inside = _inside(channel_map.sites[path], removable)
        new = clone_op(op, kind=stand_in(op) if inside else None)
        if calls.is_layer(op):
            heirs.append(Inheritance(op, new))
        return new

    def call(path, old, new_op, args, kwargs):
        site = channel_map.sites[path]
        flat = keras.tree.flatten((args, kwargs))
        tensors = [i for i, x in enumerate(flat) if isinstance(x, keras.KerasTensor)]

        def scale(position, ids, **how):
            x = flat[tensors[position]]
            return scale_of(old.graph)(x, **_places(ids, channel_map), **how)

        more = {}
        if _inside(site, removable):
            for name, (ids, _) in site.inner[old.number].items():
                more[name] = scale(0, ids, how="vector")
        for position, axis, ids in site.contracts[old.number]:
            if removable[ids].any():
                flat[tensors[position]] = scale(position, ids, axis=axis)
        for position, axis, ids, kind in site.statistics[old.number]:
            if kind == "counted" and _inside(site, removable):
                more[kind] = scale(position, ids, axis=axis, how=kind)
            elif removable[ids].any():
                over = {"over": _axes_of(old.op)} if kind == "spread" else {}
                flat[tensors[position]] = scale(
                    position, ids, axis=axis, how=kind, **over
                )
        args, kwargs = keras.tree.pack_sequence_as((args, kwargs), flat)
        outputs = new_op(*args, **kwargs, **more)
        for _, axis, ids, kind in site.statistics[old.number]:
            if kind in _NORMALISING and removable[ids].any():
                places = _places(ids, channel_map)
                own = scale_of(old.graph)
                outputs = own(outputs, **places, axis=axis, how=f"out of {kind}")
        return outputs

    return replay(model, make, call, heirs)


_NORMALISING = ("unit", "shares", "log_shares")  # they put out what they read, divided


def _inside(site, removable):
    """Whether a layer takes scales inside, so that a stand-in is needed for it."""
    inner = [ids for each in site.inner.values() for ids, _ in each.values()]
    counted = [
        ids
        for each in site.statistics.values()
        for *_, ids, kind in each
        if kind == "counted"
    ]
    return any(removable[ids].any() for ids in (*inner, *counted))


def _places(ids, channel_map):
    """Which scales an array of ids takes, as a call of `ChannelScale` says it.

    Products of channels have that of every factor.
    """
    period = cycle(ids)
    where = {"ids": _of_channels(ids[:period], channel_map)}
    return where if period == len(ids) else {**where, "times": len(ids) // period}


def _of_channels(ids, channel_map):
    """Lists of channels, one for each factor; one list if there are no products."""
    size, table = channel_map.size, channel_map.products
    if (ids < size).all():
        return ids.tolist()
    factors = np.full((len(ids), table.shape[1]), -1)
    factors[:, 0] = ids
    factors[ids >= size] = table[ids[ids >= size] - size]
    return [column.tolist() for column in factors.T if (column >= 0).any()]


def _axes_of(op):
    axes = getattr(op, "axis", getattr(op, "axes", None))
    return list(axes) if isinstance(axes, (list, tuple)) else axes


def has_scales(model: keras.Model) -> bool:
    """Whether `add_scales` was applied to the model."""
    return scale_layer(model) is not None


def mask(model: keras.Model, plan: Plan) -> keras.Model:
    """Returns a copy of the model with the removed channels silenced.

    All shapes stay; every consumer sees zeros in place of the channels that the plan
    removes. Its outputs equal those of `rebuild(model, plan)`.

    Raises:
        PlanError: the plan was made for another model.

    Examples:
        >>> masked = hh_keras.mask(model, plan)
        >>> masked.get_layer("conv_1").filters, small.get_layer("conv_1").filters
        (16, 14)
        >>> np.allclose(masked(images), small(images), atol=1e-5)
        True
    """
    expect_plan(plan)
    model = ordinary(model)
    channel_map = trace(model)
    keep = plan.keep_in(channel_map)
    masked = add_scales(model, channel_map)
    layer = scale_layer(masked)
    if layer is not None:
        layer.gamma.assign(keep.astype("float32"))
        layer.gamma.trainable = False
    return masked


def fold_scales(model: keras.Model) -> keras.Model:
    """Returns the model without scales: they are multiplied into the kernels.

    A consumer without a kernel (a sum over channels) gets a `Rescaling` layer. Where
    channels are only counted, as LayerNormalization does, those whose scale is 0 count
    again, with a warning: rebuild with a plan that drops them.

    Raises:
        ModelError: the model has none, see `add_scales`.

    Examples:
        >>> scaled = hh_keras.add_scales(model)
        >>> factors = np.random.uniform(size=channels.size)
        >>> _ = scaled.get_layer("channel_scale").gamma.assign(factors)
        >>> folded = hh_keras.fold_scales(scaled)
        >>> np.allclose(folded(images), scaled(images), atol=1e-5)
        True
    """
    return folded(model, warn=True)


def folded(model: keras.Model, warn: bool = False) -> keras.Model:
    """`fold_scales`, without a warning for those who drop channels afterwards."""
    layer = scale_layer(model)
    if layer is None:
        raise ModelError(f"model '{model.name}' has no scales that could be folded.")
    gamma = np.asarray(layer.gamma)
    channel_map = trace(model)
    pending: dict = {}
    folds: dict = {}  # path → {weight: {axis: factors}}
    heirs: list = []
    recounted: dict = {}
    scaled_inputs: dict = {}  # path → names of the layers that scale them

    def make(path, op):
        new = clone_op(op, kind=PLAIN.get(type(op)))
        if calls.is_layer(op):
            heirs.append(Inheritance(op, new, functools.partial(fold, path)))
        return new

    def fold(path, name, value):
        for axis, factors in folds.get(path, {}).get(name, {}).items():
            shape = [1] * value.ndim
            shape[axis] = -1
            # A kernel split into groups reads one group's scales at a time.
            value = value * factors[: value.shape[axis]].reshape(shape)
        return value

    def note(path, weight, axis, factors):
        folds.setdefault(path, {}).setdefault(weight, {})[axis] = factors

    def call(path, old, new_op, args, kwargs):
        if isinstance(old.op, ChannelScale):
            factors = _factors(gamma, kwargs)
            if kwargs.get("how", "scale") in ("scale", "vector"):
                before = pending.get(id(old.inputs[0]), {})
                axis = kwargs.get("axis")
                pending[id(old.outputs[0])] = {**before, axis: factors}
            elif (factors == 0).any():
                recounted[path] = None
            return args[0]
        site = channel_map.sites[path]
        given = old.node.arguments
        inner = site.inner[old.number] if type(old.op) in PLAIN else {}
        for name, (_, weights) in inner.items():
            for weight, axis in weights.items():
                note(path, weight, axis, pending[id(given.kwargs[name])][None])
        flat = keras.tree.flatten((args, kwargs))
        before = keras.tree.flatten((given.args, given.kwargs))
        places = [i for i, x in enumerate(before) if isinstance(x, keras.KerasTensor)]
        own = {id(given.kwargs[name]) for name in inner}
        for position, i in enumerate(places):
            if id(before[i]) not in pending or id(before[i]) in own:
                continue
            weights = {
                name: along
                for name, along in site.kernels.items()
                if site.reads.get(name, position) == position
            }
            for axis, factors in pending[id(before[i])].items():
                for name, along in weights.items():
                    own_axis = along[axis] if isinstance(along, dict) else along
                    note(path, name, own_axis, factors)
                if not weights and not (factors == 1).all():
                    name = f"{path.rsplit('/', 1)[-1]}_scale"
                    if scaled_inputs.setdefault(path, []):
                        name += f"_{len(scaled_inputs[path])}"
                    scaled_inputs[path].append(name)
                    flat[i] = _rescale(name, before[i], axis, factors)(flat[i])
        args, kwargs = keras.tree.pack_sequence_as((args, kwargs), flat)
        for name in (*inner, "counted") if type(old.op) in PLAIN else ():
            kwargs.pop(name, None)
        return new_op(*args, **kwargs)

    new = replay(model, make, call, heirs)
    if warn and recounted:
        warnings.warn(
            f"channels whose scale is 0 count again where '{model.name}' normalises "
            "over channels; hh_keras.rebuild(model, plan) drops them.",
            stacklevel=3,
        )
    return new


def _factors(gamma, kwargs):
    ids = kwargs["ids"]
    if not isinstance(ids[0], (list, tuple)):
        ids = [ids]
    factors = np.append(gamma, np.ones(1, gamma.dtype))[np.array(ids)].prod(0)
    return np.tile(factors, kwargs.get("times", 1))


def _rescale(name, tensor, axis, factors):
    rank = len(tensor.shape)
    shape = [-1 if i == axis % rank else 1 for i in range(1, rank)]
    return keras.layers.Rescaling(factors.reshape(shape).tolist(), name=name)
