"""The whole search in one call."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.graph.cost import Cost, cost
from hh_keras.graph.opening.inline import inline
from hh_keras.graph.tracing import trace
from hh_keras.latency.correcting import keep_to_latency
from hh_keras.search.calibration import calibration_moments
from hh_keras.search.elimination import elimination_scores
from hh_keras.search.scores import NEED_DATA, default_criterion, score_channels
from hh_keras.search.selection import Budget, select_channels
from hh_keras.surgery.compensation import compensate
from hh_keras.surgery.plan import Plan
from hh_keras.surgery.rebuild import rebuild, widen


@dataclasses.dataclass(frozen=True, eq=False)
class ShrinkResult:
    """What `shrink` found.

    Attributes:
        model: the smaller network.
        plan: which channels of `wide` it keeps.
        wide: the widened network that was searched.
        scores: float `(channels of wide,)`.
        cost_before, cost_wide, cost_after: `Cost` of the given, the wide and the
            smaller network.
        latency: with a latency budget, milliseconds: `target`, `original` and
            `predicted` by the table, and `measured` (if it was).
    """

    model: Any
    plan: Plan
    wide: Any
    scores: np.ndarray | None
    cost_before: Cost
    cost_wide: Cost
    cost_after: Cost
    latency: dict | None = None


def shrink(
    model: keras.Model,
    data: Any = None,
    loss: Any = None,
    budget: Any = None,
    width: float = 2.0,
    criterion: str | None = None,
    batches: int = 8,
    min_keep: Any = 0.1,
    round_to: int = 1,
    per_cost: float = 0.0,
    weights: str = "fresh",
    seed: int = 0,
    prepare: Callable | None = None,
    measure_latency: bool = True,
    input_shape: Any = None,
    calibration: Any = None,
) -> ShrinkResult:
    """Widens a network, scores its channels, and shrinks it to a budget.

    Args:
        model: a model, see `hh_keras.trace`; it is not changed.
        data: iterable of `(x, y)` batches, for criteria that need it.
        loss: a Keras loss or its name.
        budget: a `Budget`; the default is the given model's own cost.
        width: how much to widen first; 1 shrinks the model itself.
        criterion, batches: see `score_channels`; None is "balanced" for fresh weights,
            which takes neither data nor loss, "obs" for inherited ones with data,
            "magnitude" of scales that `prepare` trained. The paper's is "gradient".
        min_keep, round_to, per_cost: see `select_channels`.
        weights: "fresh" starts the result anew, as the paper does; "inherit" keeps the
            values of the kept channels (of the function-preserving wide network), and,
            with data, what the removed ones carried as far as it can be told from
            those: see `hh_keras.surgery.compensation`.
        seed: the same seed gives the same plan and the same fresh weights.
        prepare: function of the wide network that returns the one to score, with the
            same channels; for criterion "magnitude", one with trained scales, see
            `hh_keras.search.sparse.train_scales`. Inherited weights are its.
        measure_latency: with a latency budget and on the table's own device, also run
            the result beside the given model, and select again with a corrected limit
            until the measured latency is the wanted one.
        input_shape: `(height, width, channels)` at which costs are counted, for a model
            that takes images of any size.
        calibration: inputs without labels, an array or batches, for "obs" and for what
            inherited weights take over; all are read. Default: `batches` of `data`.

    Returns:
        A `ShrinkResult`.

    Raises:
        BudgetError: no plan fits the budget.
        ModelError: the model takes any size, and `input_shape` is missing.

    Reference: Li et al., The Heterogeneity Hypothesis, CVPR 2021, arXiv:2006.16242.
    """
    model = inline(model, leaves=False)
    before = cost(model, input_shape)
    _check_latency(model, budget)
    budget = budget or Budget(macs=before.macs, params=before.params)
    kind = "preserve" if weights == "inherit" else "fresh"
    wide = model if width == 1 else widen(model, width, kind, seed)
    ready = prepare(wide) if prepare else wide
    if criterion is None:
        seen = data if calibration is None else calibration
        criterion = "magnitude" if prepare else default_criterion(weights, seen)
    source = ready if weights == "inherit" else wide
    channel_map = trace(wide, input_shape)
    moments = None
    if weights == "inherit" and not prepare:
        moments = _moments(wide, channel_map, calibration, data, batches)
    if criterion == "obs" and moments:
        scores = elimination_scores(wide, channel_map, moments)
    else:
        scores = score_channels(
            ready, data, loss, criterion, batches, seed, input_shape
        )

    def attempt(limits):
        plan = select_channels(
            channel_map, scores, limits, min_keep, round_to, per_cost
        )
        slim = rebuild(source, plan, weights, seed)
        if moments:
            keep = plan.keep_in(channel_map)
            compensate(wide, slim, channel_map, keep, moments)
        return plan, slim

    latency = None
    if budget.latency_ms is None:
        plan, slim = attempt(budget)
    else:
        plan, slim, latency = keep_to_latency(attempt, model, budget, measure_latency)
    notes = {
        **plan.notes,
        "criterion": criterion,
        "batches": batches if criterion in NEED_DATA else 0,
        "per_cost": per_cost,
        "width": width,
        "seed": seed,
        "budget": [v if v < math.inf else None for v in budget.limits],
    }
    plan = dataclasses.replace(plan, notes=notes)
    costs = before, cost(wide, input_shape), cost(slim, input_shape)
    return ShrinkResult(slim, plan, wide, scores, *costs, latency)


def _moments(model, channel_map, calibration, data, batches):
    """What the calibration data tells; None without any."""
    if calibration is not None:
        return calibration_moments(model, channel_map, calibration)
    if data is not None:
        return calibration_moments(model, channel_map, data, batches)
    return None


def _check_latency(model, budget):
    """Latency is that of one size; the models it is measured with have it."""
    unknown = any(None in tensor.shape[1:] for tensor in model.inputs)
    if unknown and budget is not None and budget.latency_ms is not None:
        raise ModelError(
            f"a budget in milliseconds needs images of one size, but model "
            f"'{model.name}' takes any; build it with that size."
        )
