"""The whole search in one call."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from hh_keras.errors import HHError, ModelError
from hh_keras.graph.cost import Cost, cost
from hh_keras.graph.left_alone import Patterns, leave_alone, left_alone
from hh_keras.graph.opening.inline import inline
from hh_keras.graph.tracing import trace
from hh_keras.latency.correcting import keep_to_latency
from hh_keras.progress import Verbose, shown
from hh_keras.search.calibration import calibrate
from hh_keras.search.candidates import best, candidates
from hh_keras.search.inheriting import inherit
from hh_keras.search.kept import Kept
from hh_keras.search.rounding import AUTO
from hh_keras.search.scores import NEED_DATA, default_criterion, score_channels
from hh_keras.search.selection import Budget, select_channels
from hh_keras.surgery.plan import Plan
from hh_keras.surgery.rebuild import rebuild, widen
from hh_keras.training.strategy import agree, chiefs


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
        kept: with inherited weights and data, a `Kept`: how much of the wide network's
            outputs is left before any training; else None.

    Examples:
        >>> found = hh_keras.shrink(model, budget=budget)
        >>> found.cost_before.macs, found.cost_wide.macs, found.cost_after.macs
        (52576, 178880, 25726)
        >>> found.wide.get_layer("conv_1").filters, len(found.plan.kept["conv_1"])
        (32, 9)
    """

    model: Any
    plan: Plan
    wide: Any
    scores: np.ndarray | None
    cost_before: Cost
    cost_wide: Cost
    cost_after: Cost
    latency: dict | None = None
    kept: Kept | None = None


def shrink(
    model: keras.Model,
    data: Any = None,
    loss: Any = None,
    budget: Any = None,
    width: float | None = None,
    criterion: str | None = None,
    batches: int = 8,
    min_keep: Any = 0.1,
    round_to: int | str = AUTO,
    per_cost: float = 0.0,
    weights: str = "fresh",
    seed: int = 0,
    prepare: Callable | None = None,
    measure_latency: bool = True,
    input_shape: Any = None,
    calibration: Any = None,
    only: Patterns = None,
    freeze: Patterns = None,
    verbose: Verbose = "auto",
) -> ShrinkResult:
    """Widens a network, scores its channels, and shrinks it to a budget.

    Args:
        model: a model, see `hh_keras.trace`; it is not changed.
        data: iterable of `(x, y)` batches, for criteria that need it.
        loss: see `score_channels`.
        budget: a `Budget`; the default is the given model's own cost.
        width: how much to widen first; 1 shrinks the model itself. None is 1 for
            inherited weights and 2, as in the paper, for fresh ones.
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
        only, freeze: patterns of layers, groups or nested models: these alone shrink,
            or these stay as they are, see `hh_keras.leave_alone`. `plan.notes` says
            which groups were left alone.
        verbose: 0 is silent, 1 draws bars, 2 prints lines; "auto" draws bars on
            terminals and in notebooks, and prints lines in files and pipes.

    Returns:
        A `ShrinkResult`.

    Raises:
        BudgetError: no plan fits the budget.
        ModelError: the model takes any size, and `input_shape` is missing.

    Examples:
        A trained network, to half of its multiply-accumulates:

        >>> found = hh_keras.shrink(
        ...     model, budget=budget, weights="inherit", calibration=images, verbose=0
        ... )
        >>> found.cost_after.macs <= 0.5 * found.cost_before.macs
        True
        >>> found.model.save("small.keras")

        A network to be trained from scratch, of the cost of this one:

        >>> fresh = hh_keras.shrink(model).model
        >>> hh_keras.cost(fresh).macs <= hh_keras.cost(model).macs
        True

    Reference: Li et al., The Heterogeneity Hypothesis, CVPR 2021, arXiv:2006.16242.
    """
    with shown(verbose):
        (found,) = shrink_each(
            model,
            [budget],
            data,
            loss,
            width,
            criterion,
            batches,
            min_keep,
            round_to,
            per_cost,
            weights,
            seed,
            prepare,
            measure_latency,
            input_shape,
            calibration,
            only,
            freeze,
        )
    return found


def sweep(
    model: keras.Model,
    data: Any = None,
    shares: Sequence[float] = (0.9, 0.8, 0.7, 0.6),
    loss: Any = None,
    verbose: Verbose = "auto",
    **settings: Any,
) -> list[ShrinkResult]:
    """Shrinks a trained network to several shares of its MACs, to choose among.

    It learns from the data once; each result is what `shrink` gives for that budget,
    `weights="inherit"` and `width=1`, and its `kept` says how much is left.

    Args:
        model, data, loss: as for `shrink`.
        shares: of the model's multiply-accumulates, each above 0 and at most 1.
        verbose: as for `shrink`.
        **settings: of `shrink`, such as `calibration`; but for budgets and weights.

    Returns:
        A `ShrinkResult` for each share, in their order.

    Raises:
        HHError: shares out of range, or no data to learn from.
        BudgetError: a share is less than floors allow; the message names it. Nothing
            has been computed then.

    Examples:
        >>> found = hh_keras.sweep(
        ...     model, calibration=images, shares=[0.8, 0.6], verbose=0
        ... )
        >>> [round(each.cost_after.macs / each.cost_before.macs, 1) for each in found]
        [0.8, 0.6]
        >>> kept = [each.kept.share for each in found]  # which of them is good enough?
    """
    given = isinstance(shares, (Sequence, np.ndarray)) and len(shares) > 0
    if not given or not all(0 < share <= 1 for share in shares):
        raise HHError(
            f"shares={shares!r}: give a list of shares of the MACs, each above 0 and "
            "at most 1."
        )
    for name in {"budget", "weights"} & set(settings):
        raise HHError(
            f"sweep: {name} is settled by shares; leave it out, or use shrink."
        )
    if data is None and settings.get("calibration") is None:
        raise HHError(
            "a sweep shows what inherited weights keep, for which it needs inputs: "
            "give calibration=images."
        )
    whole = cost(inline(model, leaves=False), settings.get("input_shape"))
    budgets = [Budget(share * whole.macs, whole.params) for share in shares]
    settings["weights"] = "inherit"
    with shown(verbose):
        return shrink_each(model, budgets, data, loss, **settings)


def shrink_each(
    model: keras.Model,
    budgets: Sequence[Budget | None],
    data: Any = None,
    loss: Any = None,
    width: float | None = None,
    criterion: str | None = None,
    batches: int = 8,
    min_keep: Any = 0.1,
    round_to: int | str = AUTO,
    per_cost: float = 0.0,
    weights: str = "fresh",
    seed: int = 0,
    prepare: Callable | None = None,
    measure_latency: bool = True,
    input_shape: Any = None,
    calibration: Any = None,
    only: Patterns = None,
    freeze: Patterns = None,
) -> list[ShrinkResult]:
    """Widens and scores once, and shrinks to each of several budgets; see `shrink`."""
    if weights not in ("fresh", "inherit"):
        raise HHError(f"weights={weights!r}: choose 'fresh' or 'inherit'.")
    if calibration is not None and weights == "fresh":
        raise HHError(
            "calibration tells what inherited weights are to make up for: give "
            "weights='inherit', or leave it out."
        )
    if isinstance(data, Iterator):  # it is read more than once
        data = list(itertools.islice(data, batches + batches // 4))
    model = inline(model, leaves=False)
    before = cost(model, input_shape)
    for budget in budgets:
        _check_latency(model, budget)
    inherits = weights == "inherit"
    if width is None:
        width = 1 if inherits else 2
    kind = "preserve" if inherits else "fresh"
    wide = model if width == 1 else widen(model, width, kind, seed, only, freeze)
    channel_map = leave_alone(trace(wide, input_shape), only, freeze)
    own = Budget(macs=before.macs, params=before.params)
    limits = [budget or own for budget in budgets]
    choose = functools.partial(
        select_channels,
        channel_map,
        min_keep=min_keep,
        round_to=round_to,
        per_cost=per_cost,
    )
    for budget in limits:  # one that cannot be had says so before anything is learnt
        if budget.latency_ms is None:
            choose(scores=np.zeros(channel_map.size), budget=budget)
    ready = prepare(wide) if prepare else wide
    if criterion is None:
        seen = data if calibration is None else calibration
        criterion = "magnitude" if prepare else default_criterion(weights, seen)
    source = ready if weights == "inherit" else wide
    learnt = None
    if weights == "inherit" and not prepare:
        learnt = _learnt(wide, channel_map, calibration, data, batches)
    if criterion == "obs" and learnt:
        found = candidates(wide, channel_map, learnt)
    else:
        found = [
            score_channels(ready, data, loss, criterion, batches, seed, input_shape)
        ]

    def scores_for(budget):
        if criterion != "obs" or not learnt:
            return found[0]
        select = functools.partial(choose, budget=budget)
        return chiefs(best(wide, channel_map, found, select, learnt))

    def attempt(scores, budget):
        plan = choose(scores=scores, budget=budget)
        return plan, rebuild(source, plan, weights, seed)

    def result(budget):
        scores, latency = scores_for(budget), None
        if budget.latency_ms is None:
            plan, slim = attempt(scores, budget)
        else:
            plan, slim, latency = keep_to_latency(
                functools.partial(attempt, scores), model, budget, measure_latency
            )
        notes = {
            **plan.notes,
            "criterion": criterion,
            "batches": batches if criterion in NEED_DATA else 0,
            "per_cost": per_cost,
            "width": width,
            "seed": seed,
            **_left(channel_map),
            "budget": [v if v < math.inf else None for v in budget.limits],
        }
        plan = dataclasses.replace(plan, notes=notes)
        costs = before, cost(wide, input_shape), cost(slim, input_shape)
        kept = _inherited(wide, slim, channel_map, plan, learnt)
        return ShrinkResult(slim, plan, wide, scores, *costs, latency, kept)

    return [result(budget) for budget in limits]


def _left(channel_map):
    """A note on groups that were left alone."""
    names = left_alone(channel_map)
    return {"left_alone": names} if names else {}


def apply_plan(
    model: keras.Model,
    wide: keras.Model,
    plan: Plan,
    weights: str = "inherit",
    seed: int = 0,
    input_shape: Any = None,
    calibration: Any = None,
) -> ShrinkResult:
    """Shrinks a network by a plan that was found before.

    Args:
        model: the network that costs are compared with.
        wide: what the plan is of: the network widened, or itself.
        plan: of `ShrinkResult.plan`.
        weights, seed, input_shape, calibration: see `shrink`.
    """
    channel_map = trace(wide, input_shape)
    learnt, slim = None, rebuild(wide, plan, weights, seed)
    if weights == "inherit":
        learnt = _learnt(wide, channel_map, calibration, None, 0)
    before, its, after = (cost(each, input_shape) for each in (model, wide, slim))
    kept = _inherited(wide, slim, channel_map, plan, learnt)
    return ShrinkResult(slim, plan, wide, None, before, its, after, None, kept)


def _learnt(model, channel_map, calibration, data, batches):
    """What the calibration data tells; None without any."""
    if calibration is not None:
        return calibrate(model, channel_map, calibration)
    if data is not None:
        return calibrate(model, channel_map, data, batches)
    return None


def _inherited(wide, slim, channel_map, plan, learnt):
    """Gives the rebuilt network what the calibration data tell; what it then keeps."""
    if learnt is None:
        return None
    kept = inherit(wide, slim, channel_map, plan.keep_in(channel_map), learnt)
    agree(slim)
    return kept


def _check_latency(model, budget):
    """Latency is that of one size; the models it is measured with have it."""
    unknown = any(None in tensor.shape[1:] for tensor in model.inputs)
    if unknown and budget is not None and budget.latency_ms is not None:
        raise ModelError(
            f"a budget in milliseconds needs images of one size, but model "
            f"'{model.name}' takes any; build it with that size."
        )
