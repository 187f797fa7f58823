"""Changing the channel counts of a model: rebuilding and widening.

Both are the same operation. Every network channel gets a multiplicity, how often it
stands in the new model: 0 removes it, 1 keeps it, 2 doubles it. Weights are repeated
along the axes that the trace names, configs take the new counts.
"""

import keras
import numpy as np

from hh_keras.errors import HHError
from hh_keras.graph import calls
from hh_keras.graph.biases import as_meant, check_own_biases
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.cloning import clone_op
from hh_keras.graph.left_alone import Patterns, leave_alone
from hh_keras.graph.opening.inline import inline
from hh_keras.graph.rules.registry import STATISTICS
from hh_keras.graph.tracing import trace
from hh_keras.graph.values import Take, id_arrays, map_ids
from hh_keras.graph.weights import seeded
from hh_keras.surgery.inheritance import Inheritance, replay
from hh_keras.surgery.initializers import cut_initializers
from hh_keras.surgery.plan import Plan, expect_plan
from hh_keras.surgery.scales import folded, has_scales


def rebuild(
    model: keras.Model, plan: Plan, weights: str = "inherit", seed: int | None = None
) -> keras.Model:
    """Makes the model anew with only the channels that a plan keeps.

    Names, nesting, shared layers, inputs and outputs, dtype policies, regularisers and
    `trainable` stay; the result is an ordinary Keras model, not compiled. Scales left
    in the model by `add_scales` are folded into the kernels first.

    Args:
        model: the model the plan was made for; it is not changed.
        plan: a `Plan`.
        weights: "inherit" keeps the values of the kept channels, "fresh" draws new
            ones with the layers' own initialisers.
        seed: makes fresh weights reproducible.

    Returns:
        A `keras.Model`.

    Raises:
        PlanError: the plan was made for another model.

    Examples:
        >>> small = hh_keras.rebuild(model, plan)
        >>> small.get_layer("conv_1").filters, small.get_layer("conv_2").filters
        (14, 6)
        >>> np.allclose(small(images), hh_keras.mask(model, plan)(images), atol=1e-5)
        True
    """
    expect_plan(plan)
    model = inline(model, leaves=False)
    if has_scales(model):
        model = folded(model)
    channel_map = trace(model)
    multiplicity = plan.keep_in(channel_map).astype(int)
    return remake(model, channel_map, multiplicity, weights, seed)


def widen(
    model: keras.Model,
    factor: float,
    weights: str = "fresh",
    seed: int | None = 0,
    only: Patterns = None,
    freeze: Patterns = None,
) -> keras.Model:
    """Multiplies the channels of every group that is not frozen.

    Args:
        model: a model, see `trace`; it is not changed.
        factor: at least 1; group sizes are rounded to the nearest integer.
        weights: "fresh" draws new weights; "preserve" copies channels and splits
            what their consumers read of them, so that the output stays the same
            (Net2Net, arXiv:1511.05641). Copies get unequal random parts, so that
            they can part ways in training.
        seed: for fresh weights, and for the parts.
        only, freeze: groups that are left alone, see `hh_keras.leave_alone`.

    Returns:
        A wider `keras.Model`.

    Raises:
        HHError: `factor` or `weights` is not allowed.

    Examples:
        >>> wide = hh_keras.widen(model, 2.0, weights="preserve")
        >>> wide.get_layer("conv_1").filters
        32
        >>> np.allclose(wide(images), model(images), atol=1e-5)
        True
    """
    if not factor >= 1:
        raise HHError(f"widen: factor must be at least 1, got {factor}.")
    if weights not in ("fresh", "preserve"):
        raise HHError(f"widen: weights must be 'fresh' or 'preserve', got '{weights}'.")
    model = inline(model, leaves=False)
    channel_map = leave_alone(trace(model), only, freeze)
    still = _given_channels(model, channel_map)
    if weights == "preserve":
        still |= _not_divisible(channel_map)
    multiplicity = np.ones(channel_map.size, int)
    for group in channel_map.groups:
        if group.frozen or still & set(group.ids):
            continue
        n = len(group)
        edges = np.floor(np.arange(n + 1) * round(n * factor) / n + 1e-9).astype(int)
        multiplicity[group.ids.start : group.ids.stop] = np.diff(edges)
    if weights == "preserve":
        _make_even(channel_map, multiplicity)
    return remake(model, channel_map, multiplicity, weights, seed)


def _is_given(op):
    """Whether a layer's weights are given, not drawn: frozen ones, adapted statistics.

    Such weights stay where others start afresh.
    """
    if not calls.is_layer(op) or not op.variables:
        return False
    return not op.trainable or hasattr(op, "adapt")


def _given_channels(model, channel_map):
    """Channels of weights that are given: there are no others to widen them with."""
    still = set()
    for path, op in calls.leaf_operations(model):
        if _is_given(op):
            arrays = id_arrays(channel_map.sites[path].weights)
            still.update(i for ids in arrays for i in ids.tolist())
    return still | _factors(channel_map, still)


def _not_divisible(channel_map):
    """Channels that cannot be copied without a change of the output.

    Those summed without a weight, whose copies could not be divided, and those that
    stand in runs (depth multipliers, groups) or in blocks that are reshaped (heads),
    whose copies would not line up.
    """
    still: set = set()
    for site in channel_map.sites.values():
        if not site.kernels:
            for contracts in site.contracts.values():
                still.update(i for _, _, ids in contracts for i in ids.tolist())

        def note_runs(ids):
            still.update(ids[1:][ids[1:] == ids[:-1]].tolist())
            still.update(_factors(channel_map, ids.tolist()))
            return ids

        map_ids(note_runs, (site.weights, site.config, site.arguments))
        for ids, kind in _statistics(site):
            if STATISTICS[kind] == "none":
                still.update(ids.tolist())
    return still


def _factors(channel_map, ids):
    """The channels that products among the ids are of."""
    products = [k - channel_map.size for k in ids if k >= channel_map.size]
    return set(channel_map.products[products].reshape(-1).tolist())


def _statistics(site):
    """`(ids, kind)` of each statistic over channels that a layer takes."""
    for each in site.statistics.values():
        yield from ((ids, kind) for *_, ids, kind in each)


def _make_even(channel_map, multiplicity):
    """Takes back copies that would change a mean: of some of its channels only."""
    means = [
        ids
        for site in channel_map.sites.values()
        for ids, kind in _statistics(site)
        if STATISTICS[kind] == "all"
    ]
    while True:
        times = channel_map.whole(multiplicity)
        uneven = [ids for ids in means if len(set(times[ids].tolist())) > 1]
        if not uneven:
            return
        hit = np.zeros(len(times))
        hit[np.concatenate(uneven)] = 1
        hit = channel_map.shared_out(hit) > 0
        for group in channel_map.groups:
            own = slice(group.ids.start, group.ids.stop)
            if hit[own].any():
                multiplicity[own] = 1


def remake(
    model: keras.Model,
    channel_map: ChannelMap,
    multiplicity: np.ndarray,
    weights: str,
    seed: int | None = None,
) -> keras.Model:
    """Makes a model anew with each channel as often as `multiplicity` says.

    Args:
        multiplicity: int array `(channel_map.size,)`.
        weights: "inherit", "preserve" (copies divided at their consumers) or "fresh".
    """
    heirs = []
    multiplicity = channel_map.whole(multiplicity)
    rng = np.random.default_rng(seed) if weights == "preserve" else None

    def count(ids):
        return int(multiplicity[ids].sum())

    def make(path, op):
        site = channel_map.sites[path]
        changes = _counted(site.config, multiplicity, count)
        found = _initializers(op, site, multiplicity) if site.weights else {}
        if found and hasattr(op, "layer"):  # a wrapper: they are the layer's inside
            found = {"layer": {**changes.get("layer", {}), **found}}
        changes.update(found)
        new = clone_op(op, changes)
        if calls.is_layer(op) and (weights != "fresh" or _is_given(op)):
            parts = None if rng is None else int(rng.integers(1 << 32))

            def change(name, value):
                return _multiplied(name, value, site, multiplicity, parts)

            heirs.append(Inheritance(op, new, change))
        return new

    edits = any(a for s in channel_map.sites.values() for a in s.arguments.values())

    def call(path, old, new_op, args, kwargs):
        changes = channel_map.sites[path].arguments[old.number]
        values = {key: _counted(v, multiplicity, count) for key, v in changes.items()}
        args = tuple(values.get(i, a) for i, a in enumerate(args))
        kwargs = {key: values.get(key, a) for key, a in kwargs.items()}
        return new_op(*as_meant(new_op, args), **kwargs)

    with seeded(seed if weights == "fresh" else 0):
        new = replay(model, make, call if edits else None, heirs)
    check_own_biases(model, new)
    return new


def _initializers(op, site, multiplicity):
    """Initialisers of `op` that hold values, as the weights' new shapes want them."""
    changed = {
        name
        for name, axes in site.weights.items()
        if any(ids is not None and (multiplicity[ids] != 1).any() for ids in axes)
    }
    if not changed:
        return {}

    def shape_of(name):
        axes = zip(site.weight_shapes[name], site.weights[name])
        return tuple(n if a is None else int(multiplicity[a].sum()) for n, a in axes)

    def change(name, value):
        return _multiplied(name, value, site, multiplicity, None)

    return cut_initializers(getattr(op, "layer", op), changed, shape_of, change)


def _counted(value, multiplicity, count):
    """Replaces id arrays by how many of their ids are kept."""
    if isinstance(value, Take):
        times = 1 if value.ids is None else multiplicity[value.ids]
        kept = np.repeat(value.values, times, value.axis)
        kept = kept.sum(value.axis) if value.summed else kept
        return kept if isinstance(value.values, np.ndarray) else kept.tolist()
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        out = {k: _counted(v, multiplicity, count) for k, v in items}
        return out if isinstance(value, dict) else type(value)(out.values())
    return map_ids(count, value)


def _multiplied(name, value, site, multiplicity, parts):
    """A weight with each channel as often as it stands in the new layer.

    With `parts`, a seed, copies are divided where the weight reads them.
    """
    for axis, ids in enumerate(site.weights.get(name, ())):
        if ids is None:
            continue
        times = multiplicity[ids]
        if times.max() > 1:
            value = np.repeat(value, times, axis)
        elif times.min() < 1:
            value = np.compress(times, value, axis)
        if parts is not None and site.contracted(name, axis):
            shape = [1] * value.ndim
            shape[axis] = -1
            value = value * _parts(times, parts).reshape(shape).astype(value.dtype)
    for ids, exponent in (site.gains[name],) if name in site.gains else ():
        share = multiplicity[ids].sum() / len(ids)
        if share != 1:
            value = value * np.asarray(share**exponent, value.dtype)
    return value


def _parts(times, seed):
    """Random positive parts of 1 for the copies of each channel, one after another.

    A layer's kernel and bias are divided alike.
    """
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(times)), times)
    parts = rng.uniform(0.5, 1.0, len(owner))
    return parts / np.bincount(owner, parts, minlength=len(times))[owner]
