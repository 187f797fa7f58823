"""The two networks side by side, as rows of text and as one sentence."""

import dataclasses
import math
from collections.abc import Mapping

from hh_keras.goal import Goal
from hh_keras.report import numbers
from hh_keras.report.numbers import DASH, known


@dataclasses.dataclass(frozen=True)
class Row:
    """One quantity of both networks.

    Attributes:
        label: what it is.
        original, lw_dna: its value as text, a dash where it is not known.
        change: from the original to LW-DNA, as text.
        ratio: LW-DNA's value divided by the original's; None if not known.
    """

    label: str
    original: str
    lw_dna: str
    change: str
    ratio: float | None


def _latency(model):
    return (model.get("latency_ms") or {}).get("median")


def _latency_text(model):
    times = model.get("latency_ms") or {}
    text = numbers.milliseconds(times.get("median"))
    if not (known(times.get("p10")) and known(times.get("p90"))):
        return text
    low, high = (numbers.milliseconds(times[key]) for key in ("p10", "p90"))
    return f"{text} ({low.split()[0]} to {high.split()[0]})"


# label, key or function of the network, how it is written, how its change is
_QUANTITIES = (
    ("loss", "loss", numbers.decimals, numbers.difference),
    ("MACs", "macs", numbers.millions, numbers.change),
    ("FLOPs (2 per MAC)", lambda m: 2 * m["macs"], numbers.millions, numbers.change),
    ("parameters", "params", numbers.millions, numbers.change),
    (".keras file", "keras_bytes", numbers.file_size, numbers.change),
    (".tflite file", "tflite_bytes", numbers.file_size, numbers.change),
    ("latency", _latency, _latency_text, numbers.change),
    ("training time", "train_seconds", numbers.duration, numbers.change),
)


def compare(models: Mapping, goal: Goal) -> list[Row]:
    """Compares the networks in every quantity that at least one of them has.

    Args:
        models: `models` of the results, see `hh_keras.report`.
        goal: the task's, what tells a good one.

    Returns:
        List of `Row`; the goal, loss, costs and file sizes are always there.
    """
    pair = models["original"], models["lw_dna"]
    first = (goal.label, goal.key, goal.write, goal.write_change)
    rows = []
    for label, key, write, write_change in (first, *goal.besides, *_QUANTITIES):
        values = [key(m) if callable(key) else m.get(key) for m in pair]
        if key in [k for _, k, *_ in goal.besides] and not any(map(known, values)):
            continue
        shown = pair if write is _latency_text else values
        before, after = map(write, shown)
        rows.append(Row(label, before, after, write_change(*values), _ratio(*values)))
    return rows


def _ratio(before, after):
    return after / before if known(before) and known(after) and before else None


def verdict(models: Mapping, goal: Goal) -> str:
    """Says in one sentence what LW-DNA gained and lost against the original.

    Args:
        models, goal: as for `compare`.
    """
    original, slim = models["original"], models["lw_dna"]
    costs = [
        _relation(original["macs"], slim["macs"], "fewer MACs", "more MACs"),
        _relation(
            original["params"], slim["params"], "fewer parameters", "more parameters"
        ),
    ]
    times = _latency(original), _latency(slim)
    if _ratio(*times) is not None:
        costs.append(_relation(*times, "lower latency", "higher latency"))
    cost = ", ".join(costs[:-1]) + " and " + costs[-1]
    scores = original.get(goal.key), slim.get(goal.key)
    if not all(map(known, scores)):
        return (
            f"Against the original LW-DNA has {cost}; the {goal.label} was not "
            "measured."
        )
    before, after = map(goal.write, scores)
    change = goal.write_change(*scores)
    if change[0] not in "+−":
        return f"LW-DNA is {goal.same} the original ({after}), with {cost}."
    relation = goal.more if change[0] == "+" else goal.less
    return (
        f"LW-DNA is {change[1:]} {relation} the original "
        f"({after} against {before}), with {cost}."
    )


def _relation(before, after, below, above):
    """(200, 190, "fewer MACs", ...) -> "5.0 % fewer MACs"."""
    text = numbers.change(before, after)
    if text == DASH or text[0] not in "+−":
        return f"the same {below.split()[-1]}"
    return f"{text[1:]} {below if text[0] == '−' else above}"


def caution(results: Mapping) -> str:
    """Says how far the comparison can be trusted.

    Two accuracies p on n images each differ by chance with a standard deviation of
    at most sqrt(2 p (1 - p) / n); two of them are quoted.
    """
    text = "This is one run with one seed, which proves little: repeat it with others."
    original = results["models"]["original"]
    images = (results.get("dataset") or {}).get("num_validation")
    if known(original.get("psnr_input")) and known(images):
        before = numbers.decibels(original["psnr_input"])
        return (
            f"{text} The {numbers.whole(images)} validation images have {before} "
            "before they are restored."
        )
    accuracy = original.get("accuracy")
    if not (known(accuracy) and known(images) and images > 0):
        return text
    noise = 200 * math.sqrt(2 * accuracy * (1 - accuracy) / images)
    return (
        f"{text} On {numbers.whole(images)} validation images alone, chance moves the "
        f"difference by up to about {noise:.1f} points either way."
    )
