"""Scores: one number per network channel, higher is better."""

from typing import Any

import keras
import numpy as np

from hh_keras.errors import HHError
from hh_keras.graph import calls
from hh_keras.graph.opening.inline import ordinary
from hh_keras.graph.tracing import trace
from hh_keras.graph.weights import array_of, variables
from hh_keras.search.calibration import calibration_moments
from hh_keras.search.criteria import CRITERIA
from hh_keras.search.elimination import elimination_scores
from hh_keras.search.gradients import gradient_scores
from hh_keras.search.profiles import balanced_profile, profile_scores
from hh_keras.suggestions import did_you_mean
from hh_keras.surgery.channel_scale import scale_layer

NEED_DATA = ("gradient", "taylor", "fisher")


def default_criterion(weights: str, data: Any = None) -> str:
    """The criterion that was chosen where it was measured.

    `balanced` for fresh networks: it needs no data and does no worse than scores of
    data. Inherited weights are spared most by `obs`. See benchmarks/heterogeneity.md
    and trained.md in the repository.

    Args:
        weights: "fresh" or "inherit".
        data: what there is to score with; without, `balanced` is what remains.
    """
    return "obs" if weights == "inherit" and data is not None else "balanced"


def score_channels(
    model: keras.Model,
    data: Any = None,
    loss: Any = None,
    criterion: str | None = "gradient",
    batches: int = 8,
    seed: int = 0,
    input_shape: Any = None,
) -> np.ndarray:
    """Scores every network channel. The model is not changed in any way.

    - `gradient`: |∂L/∂γ| at γ = 1, of the mean loss over the batches, with γ the scale
      at the inputs of a channel's consumers (Li et al., arXiv:2006.16242). The model
      runs in inference mode, so that no statistics change.
    - `taylor`: |γ · ∂L/∂γ| (arXiv:1611.06440); like `gradient` unless the model was
      trained with scales.
    - `fisher`: root of the mean over batches of (∂L/∂γ)², which does not cancel between
      batches: for trained networks, whose mean gradient says little. The smaller the
      batches, the better (Theis et al., arXiv:1801.05787).
    - `obs`: when a channel goes if the one goes first whose readers' outputs change
      least for the multiply-accumulates it saves, the others making up for it (Optimal
      Brain Surgeon, see `hh_keras.search.elimination`); needs inputs only, no labels.
    - `magnitude`: |γ| of a model trained with scales.
    - `weight_norm`: L2 norm of the weights that make the channel, by layer relative to
      the layer's mean.
    - `balanced`: counts at which layers take more equal shares of the cost, see
      `balanced_profile`; needs neither data nor weights.
    - `uniform`: keeps the same share everywhere; `random`: a seeded draw. These are
      the controls.

    Args:
        model: a model, see `hh_keras.trace`, with or without scales.
        data: iterable of `(x, y)` or `(x, y, sample_weight)` batches.
        loss: what `model.compile` takes: a Keras loss or its name, or a list or dict of
            them, one for each output; or a function of labels and outputs, in the
            structure of the model's, that returns `(batch,)` or a dict of that by
            output; or a `hh_keras.training.Task`.
        criterion: one of `hh_keras.CRITERIA`.
        batches: how many batches to read.
        seed: of `random`.
        input_shape: `(height, width, channels)` at which `balanced` counts costs, for a
            model that takes images of any size.

    Returns:
        Float array `(channel_map.size,)`; frozen channels have a score too, but are
        always kept.

    Raises:
        HHError: unknown criterion, or missing data or loss.
        SearchError: the loss is NaN or infinite, or the data is empty.

    Examples:
        >>> batches = [(images[:8], labels[:8]), (images[8:], labels[8:])]
        >>> scores = hh_keras.score_channels(model, batches, loss, "fisher")
        >>> scores.shape, bool((scores >= 0).all())
        ((45,), True)
        >>> hh_keras.score_channels(model, criterion="weight_norm").shape  # no data
        (45,)
    """
    if criterion not in CRITERIA:
        raise HHError(
            f"unknown criterion '{criterion}'; choose one of {', '.join(CRITERIA)}."
            + did_you_mean(str(criterion), CRITERIA)
        )
    model = ordinary(model)
    channel_map = trace(model, input_shape)
    if criterion in NEED_DATA:
        if data is None or loss is None:
            raise HHError(f"criterion '{criterion}' needs data and a loss.")
        return gradient_scores(model, channel_map, data, loss, batches, criterion)
    if criterion == "obs":
        if data is None:
            raise HHError("criterion 'obs' needs data: batches of inputs.")
        moments = calibration_moments(model, channel_map, data, batches)
        return elimination_scores(model, channel_map, moments)[0]
    if criterion == "random":
        return np.random.default_rng(seed).random(channel_map.size)
    if criterion == "uniform":
        return profile_scores(channel_map, [len(g) for g in channel_map.groups])
    if criterion == "balanced":
        return profile_scores(channel_map, balanced_profile(channel_map))
    if criterion == "magnitude":
        layer = scale_layer(model)
        if layer is None:
            raise HHError(
                "criterion 'magnitude' reads trained scales, but the model has none: "
                "train add_scales(model) first."
            )
        return np.abs(np.asarray(layer.gamma, float))
    return _weight_norms(model, channel_map)


def _weight_norms(model, channel_map):
    """L2 norms of the filters that make a channel, averaged over its producers."""
    count = channel_map.size + len(channel_map.products)
    total, times = np.zeros(count), np.zeros(count)
    makers = _makers(channel_map)
    for path, op in calls.leaf_operations(model):
        site = channel_map.sites[path]
        outputs = channel_map.outputs.get(path)
        for name in site.uses:
            axes = site.weights[name]
            last = [a for a, ids in enumerate(axes) if np.array_equal(ids, outputs)]
            value = array_of(variables(op)[name]).astype("float32", copy=False)
            letters = list(range(value.ndim))
            for axis, ids in enumerate(axes):
                if ids is None:
                    continue
                made = path in makers[ids[0]] and not site.contracted(name, axis)
                if axis not in last[-1:] and not made:
                    continue
                norms = np.sqrt(np.einsum(value, letters, value, letters, [axis]))
                norms = norms / max(norms.mean(), 1e-12)
                np.add.at(total, ids, norms)
                np.add.at(times, ids, 1)
    total, times = channel_map.shared_out(total), channel_map.shared_out(times)
    return total / np.maximum(times, 1)


def _makers(channel_map):
    """Of each id, the layers that make it: of a product, those of its first factor."""
    makers = [set(g.producers) for g in channel_map.groups for _ in range(len(g))]
    return [*makers, *(makers[factors[0]] for factors in channel_map.products)]
