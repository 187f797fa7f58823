"""Choosing which channels stay, so that the model fits a budget."""

import dataclasses
import fnmatch
import math
import numbers
import warnings
from typing import Any

import numpy as np

from hh_keras.errors import BudgetError, HHError
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.cost_model import cost_model
from hh_keras.latency.prediction import latency_model
from hh_keras.search import filling, rounding
from hh_keras.search.profiles import profile_scores
from hh_keras.surgery.plan import Plan


@dataclasses.dataclass(frozen=True)
class Budget:
    """The most a model may cost; None means no limit.

    Attributes:
        macs: multiply-accumulates for one example.
        params: weights.
        latency_ms: milliseconds for one example, as `latency_table` predicts it.
        latency_table: a `hh_keras.latency.LatencyTable`.

    Examples:
        >>> whole = hh_keras.cost(model)
        >>> hh_keras.Budget(macs=0.5 * whole.macs, params=0.8 * whole.params).limits
        (26288.0, 2350.4, inf)
    """

    macs: float | None = None
    params: float | None = None
    latency_ms: float | None = None
    latency_table: Any = None

    def __post_init__(self):
        if (self.macs, self.params, self.latency_ms) == (None, None, None):
            raise HHError("Budget: give a limit, macs=, params= or latency_ms=.")
        if self.latency_ms is not None and self.latency_table is None:
            raise HHError(
                "Budget: latency_ms needs a latency_table, the device's; "
                "hh_keras.latency.measure makes one."
            )
        for name in ("macs", "params", "latency_ms"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, str) or not value > 0:
                raise HHError(
                    f"Budget: {name} must be a positive number, got {value!r}; a share "
                    "is one times hh_keras.cost(model)."
                )

    @property
    def limits(self) -> tuple:
        """`(macs, params, latency_ms)`, infinite where there is no limit."""
        values = (self.macs, self.params, self.latency_ms)
        return tuple(math.inf if v is None else v for v in values)


def expect_budget(budget: Any) -> None:
    """Raises HHError if it is no `Budget`."""
    if not isinstance(budget, Budget):
        raise HHError(
            f"expected a hh_keras.Budget, got {budget!r:.60}; for half of a model's "
            "multiply-accumulates: Budget(macs=0.5 * hh_keras.cost(model).macs)."
        )


def select_channels(
    channel_map: ChannelMap,
    scores: Any,
    budget: Any,
    min_keep: Any = 0.1,
    round_to: int | str = rounding.AUTO,
    per_cost: float = 0.0,
) -> Plan:
    """Keeps the highest-scoring channels whose model fits a budget.

    Channels come in blocks of `round_to`, sorted by score; bisection finds the longest
    prefix that fits, then what still fits is added in the same order, and what blocks
    leave of the budget is used by exchanges between groups. No limit is ever exceeded.
    With a limit on latency, blocks fill the steps in which the device's time grows: one
    channel past a step costs as much as all up to the next.

    Args:
        channel_map: the model's `ChannelMap`.
        scores: float array `(channel_map.size,)`, higher is better.
        budget: a `Budget`.
        min_keep: share of every group that stays at least (one channel always does);
            a number, or a mapping from group-name patterns (`"stage3*"`) to shares,
            the last that matches counts, groups without a match keep 0.1.
        round_to: kept counts are multiples of this, or the whole group. "auto" is 8
            for layers of 16 channels and more, 4 for others, and with a limit on
            latency the device's own steps; it takes smaller ones only where no plan
            fits otherwise, and in as few groups as will do where more than 2 % of the
            budget were left.
        per_cost: 0 ranks channels by score; 1 by score per share of the budget that
            the channel takes, as a knapsack is filled; values between weigh the price
            by this power. What is not scarce has no price: where MACs bind, and
            parameters do not, only MACs count. Prices are those of the network whose
            groups all keep the same share: at the counts that are selected, a group
            would get the cheaper the fewer of its neighbours are kept, and residual
            streams would vanish.

    Returns:
        A `Plan`; `plan.keep` is bool `(channel_map.size,)`.

    Raises:
        BudgetError: no plan fits; the message gives the smallest reachable cost. Or
            MACs are limited, and the size of the model's input is unknown.
        HHError: scores of the wrong shape or not finite, or a bad `min_keep`.

    Examples:
        >>> budget = hh_keras.Budget(macs=20_000)
        >>> plan = hh_keras.select_channels(channels, scores, budget)
        >>> hh_keras.cost(hh_keras.rebuild(model, plan)).macs <= 20_000
        True
    """
    if not isinstance(channel_map, ChannelMap):
        raise HHError(
            f"expected a hh_keras.ChannelMap, got {type(channel_map).__name__}; "
            "hh_keras.trace(model) makes one."
        )
    expect_budget(budget)
    scores = np.asarray(scores, float)
    if scores.shape != (channel_map.size,):
        raise HHError(
            f"scores have shape {scores.shape}, but the model has "
            f"{channel_map.size} channels: expected ({channel_map.size},)."
        )
    if not np.isfinite(scores).all():
        raise HHError("scores hold NaN or infinite values.")
    rounding.check_round_to(round_to)
    if not 0 <= per_cost <= 2:
        raise HHError(f"per_cost must lie in 0 to 2, got {per_cost}.")
    costs, latency = _costs(channel_map, budget)
    limits = budget.limits
    tries = _steps(channel_map, round_to, latency)
    steps, floors = _affordable(channel_map, tries, min_keep, costs, limits)
    _check_known(channel_map, costs(floors), limits)
    _check_reachable(channel_map, costs, floors, limits)

    def found(values, steps, floors=floors, kept=None):
        ranked = [values[_ranked(group, values)] for group in channel_map.groups]
        return filling.blocks(ranked, floors, steps, kept)

    def fill(values):
        return filling.fill(costs, found(values, steps), floors, limits)

    if per_cost:
        scores = _priced(channel_map, scores, limits, per_cost, fill)
    blocks = found(scores, steps)
    # The best blocks until the budget is full; then groups exchange what pays.
    counts = filling.fill(costs, blocks, floors, limits)
    counts = filling.exchange(costs, blocks, floors, limits, counts)
    finer = tries[1:]
    for smaller in finer:  # what whole steps left of the budget, in smaller ones
        more = found(scores, smaller, counts)
        counts = filling.top_up(costs, more, counts, limits)
    for far in (False, True):  # and where that is much, several give room for one
        for own in finer or tries:
            if filling.use(costs(counts), limits) >= filling.LEAST:
                break
            low = np.minimum(_floors(channel_map, min_keep, own), counts)
            several = found(scores, own, low, counts)
            most = _FEW if far and len(several.owner) <= _FEW else _AT_ONCE
            counts = filling.exchange(
                costs, several, low, limits, counts, most, far=far
            )
            more = found(scores, own, counts)
            counts = filling.top_up(costs, more, counts, limits)
    keep = np.zeros(channel_map.size, bool)
    for group, count in zip(channel_map.groups, counts):
        keep[_ranked(group, scores)[:count]] = True
    macs, params, *rest = costs(counts)
    notes = {"macs": macs if macs == macs else None, "params": params}
    if budget.macs is not None:
        notes.update(_uncounted(channel_map))
    if rest:
        notes["latency_ms"] = rest[0]
    return Plan.of(channel_map, keep, notes)


def _costs(channel_map, budget):
    """What kept counts cost, `(macs, params[, ms])`, and the `LatencyModel` if any."""
    costs = cost_model(channel_map)
    if budget.latency_ms is None:
        return costs, None
    table = budget.latency_table
    latency = latency_model(channel_map.sites.model, table, channel_map)
    return lambda kept: (*costs(kept), latency(kept)), latency


def _sizes(channel_map):
    return np.array([len(group) for group in channel_map.groups])


_ROUNDS = 8
# Blocks that two groups exchange where a budget is hard to use; any number where few
# blocks there are, and little is used.
_AT_ONCE, _FEW = 6, 100


def _priced(channel_map, scores, limits, per_cost, fill):
    """Scores over prices at which neither limit is left unused, if there are any.

    The price of a channel is its share of the MACs' limit and of the parameters',
    weighed. As in the dual of a knapsack with two limits, what is not scarce costs
    nothing: parameters weigh as little as keeps MACs the limit that binds.
    """
    sizes = _sizes(channel_map)
    costs = cost_model(channel_map)
    uniform = fill(profile_scores(channel_map, sizes))
    shares = [
        marginal / limit if 0 < limit < math.inf else np.zeros(len(sizes))
        for marginal, limit in zip(costs.marginals(uniform), limits)
    ]
    if not np.any(shares):  # a limit on latency alone
        shares = costs.marginals(uniform)

    def at(weight):
        prices = (1 - weight) * shares[0] + weight * shares[1]
        # Groups that cost nothing are frozen or empty; their price decides nothing.
        prices = np.where(prices > 0, prices, 1.0) ** per_cost
        return scores / np.repeat(prices, sizes)

    if not (shares[0].any() and shares[1].any()):
        return at(0.0 if shares[0].any() else 1.0)

    def parameters_bind(weight):
        macs, params = costs(fill(at(weight)))
        return params / limits[1] > macs / limits[0]

    if not parameters_bind(0.0):
        return at(0.0)
    low, high = 0.0, 1.0
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if parameters_bind(middle) else (low, middle)
    return at(high)


def _ranked(group, scores):
    """A group's channels, best first; ties go to the lower id."""
    ids = np.arange(group.ids.start, group.ids.stop)
    return ids[np.argsort(-scores[ids], kind="stable")]


def _steps(channel_map, round_to, latency):
    """The groups' steps, a list of ints; with "auto" smaller and smaller ones follow.

    With a limit on latency they are the device's, in multiples of `round_to`.
    """
    auto = round_to == rounding.AUTO
    steps = rounding.steps(channel_map, 1 if auto and latency else round_to)
    if latency:
        sizes = map(len, channel_map.groups)
        steps = list(map(rounding.common, steps, latency.steps(channel_map), sizes))
    smaller = rounding.FINER if auto else ()
    return [steps, *([min(step, n) for step in steps] for n in smaller)]


def _affordable(channel_map, tries, min_keep, costs, limits):
    """The first steps whose least counts are within the limits, and these counts."""
    for steps in tries:
        floors = _floors(channel_map, min_keep, steps)
        if filling.use(costs(floors), limits) <= 1:
            break
    return steps, floors


def _floors(channel_map, min_keep, steps):
    shares = min_keep if isinstance(min_keep, dict) else {"*": min_keep}
    for pattern, share in shares.items():
        number = isinstance(share, numbers.Real)
        if not number or not 0 <= share <= 1:
            raise HHError(
                f"min_keep of '{pattern}' must be a number from 0 to 1, got {share!r}."
            )
        if not channel_map.matching(pattern):
            names = [g.name for g in channel_map.groups if not g.frozen]
            raise HHError(
                f"min_keep: no group fits the pattern '{pattern}'; groups are "
                f"{', '.join(names[:8])} …"
            )
    floors = []
    for group, step in zip(channel_map.groups, steps):
        n = len(group)
        share = 0.1
        for pattern, value in shares.items():
            if fnmatch.fnmatchcase(group.name, pattern):
                share = value
        least = max(1, math.ceil(share * n - 1e-9))
        floors.append(n if group.frozen else min(n, math.ceil(least / step) * step))
    return np.array(floors)


def _check_known(channel_map, reached, limits):
    """A MAC count that is not known must not pass for one that fits."""
    if reached[0] != reached[0] and limits[0] < math.inf:
        raise BudgetError(
            f"the MACs of model '{channel_map.model_name}' depend on its input size, "
            "which is unknown: trace it with input_shape=(height, width, channels)."
        )


def _uncounted(channel_map):
    """A note on layers whose MACs are not known, of which a limit says nothing."""
    names = [name for name, site in channel_map.sites.items() if site.uncounted]
    if not names:
        return {}
    listed = ", ".join(f"'{name}'" for name in names[:5])
    warnings.warn(
        f"the multiply-accumulates of {listed} are not known and not covered by the "
        "limit on MACs.",
        stacklevel=3,
    )
    return {"uncounted": names}


def _check_reachable(channel_map, costs, floors, limits):
    reached = costs(floors)
    for name, value, limit, kind in zip(
        ("MACs", "parameters", "ms"), reached, limits, range(3)
    ):
        if not value > limit:
            continue
        why = _what_binds(channel_map, costs, kind, floors, limit)
        raise BudgetError(
            f"no plan fits {_amount(limit, kind)} {name}: the smallest reachable is "
            f"{_amount(value, kind)}; {why}."
        )


def _what_binds(channel_map, costs, kind, floors, limit):
    """Why no smaller counts are left: what is frozen within, or others' floors."""
    groups = channel_map.groups
    least = np.where([group.frozen is not None for group in groups], floors, 1)
    inner = [str(group.frozen or "model ").split()[0] != "model" for group in groups]

    def dearest(counts, chosen):
        """Of some groups the one whose channels but for the first cost most."""
        saved = []
        for g in np.flatnonzero(chosen):
            fewer = counts.copy()
            fewer[g] = 1
            saved.append((costs(counts)[kind] - costs(fewer)[kind], g))
        return max(saved)[1]

    if costs(least)[kind] > limit and any(inner):
        group = groups[dearest(least, inner)]
        return (
            "even one channel in every other group would be too many beside those that "
            f"cannot leave, most of all group '{group.name}' ({group.frozen})"
        )
    if not (floors > least).any():
        return "every group is at one channel or frozen already"
    g = dearest(floors, floors > least)
    return (
        f"the floor that binds most is {floors[g]} of {len(groups[g])} channels in "
        f"group '{groups[g].name}': lower min_keep or round_to"
    )


def _amount(value, kind):
    return f"{value:.4g}" if kind == 2 else f"{value:,.0f}"
