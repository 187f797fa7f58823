"""Predicted latency corrected by measured latency."""

import dataclasses

from hh_keras.latency.comparing import compare
from hh_keras.latency.measure import device
from hh_keras.latency.prediction import predict_latency

_NEAR = 0.02  # of the wanted latency
_TRIES = 4


def keep_to_latency(attempt, model, budget, measure=True):
    """Selects channels so that the result's measured latency is the wanted one.

    A table is right on the average; this network's error is found by running it beside
    the original, and taken off the limit of the next attempt.

    Args:
        attempt: function of a `Budget` that returns `(plan, model)`.
        model: the network to measure against.
        budget: a `Budget` with a latency.
        measure: False relies on the table; so does a table of another device.

    Returns:
        `(plan, model, latency)`, see `hh_keras.ShrinkResult`.
    """
    table, target = budget.latency_table, budget.latency_ms
    original, aim, best = predict_latency(model, table), target, None
    for _ in range(_TRIES):
        plan, slim = attempt(dataclasses.replace(budget, latency_ms=aim))
        predicted = predict_latency(slim, table)
        found = {"target": target, "original": original, "predicted": predicted}
        if not measure or table.device != device():
            return plan, slim, found
        _, ratios = compare([model, slim], table.quantize, table.threads)
        found["measured"] = float(ratios[1]) * original
        error = found["measured"] / target - 1
        if best is None or abs(error) < abs(best[3]):
            best = plan, slim, found, error
        # Below the target with the whole limit left over, other limits bind.
        if abs(error) <= _NEAR or predicted < 0.9 * aim:
            break
        aim /= 1 + error
    return best[:3]
