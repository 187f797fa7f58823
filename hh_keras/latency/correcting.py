"""Predicted latency corrected by measured latency."""

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

import keras

from hh_keras.errors import BudgetError
from hh_keras.latency.building import convert
from hh_keras.latency.comparing import compare
from hh_keras.latency.measure import device
from hh_keras.latency.prediction import predict_latency

_NEAR = 0.02  # of the wanted latency
_TRIES = 6


def keep_to_latency(
    attempt: Callable, model: keras.Model, budget: Any, measure: bool = True
) -> tuple:
    """Selects channels so that the result's measured latency is the wanted one.

    A table is right on the average; this network's error is found by running it beside
    the original, and the next attempt's limit is chosen by what was measured so far.

    Args:
        attempt: function of a `Budget` that returns `(plan, model)`.
        model: the network to measure against.
        budget: a `Budget` with a latency.
        measure: False relies on the table; so does a table of another device.

    Returns:
        `(plan, model, latency)`, see `hh_keras.ShrinkResult`. Of networks that were
        tried the nearest to the limit, one above it by more than 2 % only if all are;
        a warning says if it is further off than that.

    Raises:
        BudgetError: no plan fits the budget.
    """
    table, target = budget.latency_table, budget.latency_ms
    found = {"target": target, "original": predict_latency(model, table)}
    if not measure or table.device != device():
        plan, slim = attempt(budget)
        return plan, slim, {**found, "predicted": predict_latency(slim, table)}
    content = convert(model, table.quantize)
    aim, seen = target, []
    tried: list = []
    for _ in range(_TRIES):
        try:
            plan, slim = attempt(dataclasses.replace(budget, latency_ms=aim))
        except BudgetError:
            if not tried:
                raise
            break
        predicted = predict_latency(slim, table)
        _, ratios = compare([content, slim], table.quantize, table.threads)
        measured = float(ratios[1]) * found["original"]
        figures = {**found, "predicted": predicted, "measured": measured}
        error = abs(measured / target - 1)
        above = measured > (1 + _NEAR) * target
        tried.append(((above, error), plan, slim, figures))
        # Below the target with the whole limit left over, other limits bind.
        others_bind = measured < target and predicted < 0.9 * aim
        if error <= _NEAR or others_bind:
            return plan, slim, figures
        seen.append((aim, measured))
        aim = _next_aim(seen, target)
    _, plan, slim, figures = min(tried, key=lambda each: each[0])
    part = figures["measured"] / target
    warnings.warn(
        f"the latency limit of {target:.3g} ms is "
        f"{'not met' if part > 1 else 'not used up'}: of {len(tried)} networks that "
        f"were measured the nearest takes {figures['measured']:.3g} ms, {part:.2f} of "
        "it. Channel counts leave no other, or other programs made the machine's speed "
        "change: try again on an idle one.",
        stacklevel=2,
    )
    return plan, slim, figures


def _next_aim(seen, target):
    """The limit to try after `seen`, pairs of a limit and the latency it led to.

    Between a limit that led too low and one that led too high: latency rises faster
    than the limit where the table is wrong about small layers, so scaling the limit
    would jump to and fro.
    """
    below = max((pair for pair in seen if pair[1] <= target), default=None)
    above = min((pair for pair in seen if pair[1] > target), default=None)
    if below is None or above is None:
        aim, measured = seen[-1]
        return aim * target / measured
    share = math.log(target / below[1]) / math.log(above[1] / below[1])
    return below[0] * (above[0] / below[0]) ** share
