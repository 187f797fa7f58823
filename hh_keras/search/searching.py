"""A search step by step: widened and scored once, shrunk to each of several budgets."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from hh_keras.errors import HHError, ModelError
from hh_keras.graph.cost import cost
from hh_keras.graph.left_alone import Patterns, leave_alone, left_alone
from hh_keras.graph.opening.inline import inline
from hh_keras.graph.tracing import trace
from hh_keras.latency.correcting import keep_to_latency
from hh_keras.search.calibration import calibrate
from hh_keras.search.candidates import best, candidates
from hh_keras.search.inheriting import inherit
from hh_keras.search.result import ShrinkResult
from hh_keras.search.rounding import AUTO
from hh_keras.search.scores import NEED_DATA, default_criterion, score_channels
from hh_keras.search.selection import Budget, expect_budget, select_channels
from hh_keras.surgery.plan import Plan
from hh_keras.surgery.rebuild import rebuild, widen
from hh_keras.training.replicas import agree, chiefs


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """How to search, the same for every budget; `shrink` says what each is."""

    width: float | None = None
    criterion: str | None = None
    batches: int = 8
    min_keep: Any = 0.1
    round_to: int | str = AUTO
    per_cost: float = 0.0
    weights: str = "fresh"
    seed: int = 0
    prepare: Callable | None = None
    measure_latency: bool = True
    input_shape: Any = None
    calibration: Any = None
    only: Patterns = None
    freeze: Patterns = None

    @property
    def inherits(self) -> bool:
        return self.weights == "inherit"


def shrink_each(
    model: keras.Model,
    budgets: Sequence[Budget | None],
    data: Any,
    loss: Any,
    search: Search,
) -> list[ShrinkResult]:
    """Widens and scores once, and shrinks to each of several budgets; see `shrink`."""
    _check(search)
    if isinstance(data, Iterator):  # it is read more than once
        data = list(itertools.islice(data, search.batches + search.batches // 4))
    model = inline(model, leaves=False)
    for budget in budgets:
        if budget is not None:
            expect_budget(budget)
            _check_latency(model, budget)
    before = cost(model, search.input_shape)
    own = Budget(macs=before.macs, params=before.params)
    limits = [budget or own for budget in budgets]
    width, wide = _widened(model, search)
    channel_map = trace(wide, search.input_shape)
    channel_map = leave_alone(channel_map, search.only, search.freeze)
    choose = functools.partial(
        select_channels,
        channel_map,
        min_keep=search.min_keep,
        round_to=search.round_to,
        per_cost=search.per_cost,
    )
    for budget in limits:  # one that cannot be had says so before anything is learnt
        if budget.latency_ms is None:
            choose(scores=np.zeros(channel_map.size), budget=budget)
    scored = _scored(wide, channel_map, data, loss, search)

    def attempt(scores, budget):
        plan = choose(scores=scores, budget=budget)
        return plan, rebuild(scored.source, plan, search.weights, search.seed)

    def result(budget):
        latency = None
        scores = _scores_for(budget, wide, channel_map, scored, choose)
        if budget.latency_ms is None:
            plan, slim = attempt(scores, budget)
        else:
            plan, slim, latency = keep_to_latency(
                functools.partial(attempt, scores),
                model,
                budget,
                search.measure_latency,
            )
        notes = {
            **plan.notes,
            "criterion": scored.criterion,
            "batches": search.batches if scored.criterion in NEED_DATA else 0,
            "per_cost": search.per_cost,
            "width": width,
            "seed": search.seed,
            **_left(channel_map),
            "budget": [v if v < math.inf else None for v in budget.limits],
        }
        plan = dataclasses.replace(plan, notes=notes)
        costs = (
            before,
            cost(wide, search.input_shape),
            cost(slim, search.input_shape),
        )
        kept = _inherited(wide, slim, channel_map, plan, scored.learnt)
        return ShrinkResult(slim, plan, wide, scores, *costs, latency, kept)

    return [result(budget) for budget in limits]


def _check(search):
    if search.weights not in ("fresh", "inherit"):
        raise HHError(f"weights={search.weights!r}: choose 'fresh' or 'inherit'.")
    if search.calibration is not None and not search.inherits:
        raise HHError(
            "calibration tells what inherited weights are to make up for: give "
            "weights='inherit', or leave it out."
        )


def _widened(model, search):
    """How much wider, and the wide network."""
    width = search.width
    if width is None:
        width = 1 if search.inherits else 2
    if width == 1:
        return width, model
    kind = "preserve" if search.inherits else "fresh"
    return width, widen(model, width, kind, search.seed, search.only, search.freeze)


@dataclasses.dataclass(frozen=True, eq=False)
class _Scored:
    """What there is to choose channels by.

    Attributes:
        criterion: which it was.
        source: the network whose weights are inherited.
        learnt: what calibration data tell; None without any.
        scores: arrays, among which each budget chooses; mostly there is one.
    """

    criterion: str
    source: Any
    learnt: Any
    scores: Sequence[np.ndarray]


def _scored(wide, channel_map, data, loss, search):
    ready = search.prepare(wide) if search.prepare else wide
    criterion = search.criterion
    if criterion is None:
        seen = data if search.calibration is None else search.calibration
        usual = default_criterion(search.weights, seen)
        criterion = "magnitude" if search.prepare else usual
    learnt = None
    if search.inherits and not search.prepare:
        learnt = _learnt(wide, channel_map, search.calibration, data, search.batches)
    if criterion == "obs" and learnt:
        scores = candidates(wide, channel_map, learnt)
    else:
        of = search.batches, search.seed, search.input_shape
        scores = [score_channels(ready, data, loss, criterion, *of)]
    return _Scored(criterion, ready if search.inherits else wide, learnt, scores)


def _scores_for(budget, wide, channel_map, scored, choose):
    """The scores whose plan keeps most, if there are several."""
    if scored.criterion != "obs" or not scored.learnt:
        return scored.scores[0]
    select = functools.partial(choose, budget=budget)
    return chiefs(best(wide, channel_map, scored.scores, select, scored.learnt))


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
    if unknown and budget.latency_ms is not None:
        raise ModelError(
            f"a budget in milliseconds needs images of one size, but model "
            f"'{model.name}' takes any; build it with that size."
        )
