"""The two networks side by side, as rows of text and as one sentence."""

import dataclasses
import math
from collections.abc import Mapping

from hh_keras.goal import Goal
from hh_keras.report import numbers
from hh_keras.report.numbers import known
from hh_keras.report.slower import alike


@dataclasses.dataclass(frozen=True)
class Row:
    """One quantity of both networks.

    Attributes:
        label: what it is.
        original, lw_dna: its value as text, a dash where it is not known.
        change: from the original to LW-DNA, as text.
        ratio: LW-DNA's value divided by the original's; None if not known.

    Examples:
        >>> rows = hh_keras.report.compare(networks, goal)
        >>> [(row.label, row.change) for row in rows][:3]
        [('accuracy', '−0.30 points'), ('loss', '–'), ('latency', '–')]
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
    ("latency", _latency, _latency_text, numbers.change),
    (".tflite file", "tflite_bytes", numbers.file_size, numbers.change),
    ("MACs", "macs", numbers.millions, numbers.change),
    ("FLOPs (2 per MAC)", lambda m: 2 * m["macs"], numbers.millions, numbers.change),
    ("parameters", "params", numbers.millions, numbers.change),
    (".keras file", "keras_bytes", numbers.file_size, numbers.change),
    ("training time", "train_seconds", numbers.duration, numbers.change),
)


def compare(models: Mapping, goal: Goal) -> list[Row]:
    """Compares the networks in every quantity that at least one of them has.

    Args:
        models: `models` of the results, see `hh_keras.report`.
        goal: the task's, what tells a good one.

    Returns:
        List of `Row`; the goal, loss, costs and file sizes are always there.

    Examples:
        >>> rows = hh_keras.report.compare(networks, goal)
        >>> [row.label for row in rows]
        ['accuracy', 'loss', 'latency', '.tflite file', 'MACs', 'FLOPs (2 per
        MAC)', 'parameters', '.keras file', 'training time']
    """
    pair = models["original"], models["lw_dna"]
    first = (goal.label, goal.key, goal.write, goal.write_change)
    rows = []
    rest = [each for each in _QUANTITIES if each[1] != goal.key]
    for label, key, write, write_change in (first, *goal.besides, *rest):
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

    What was wanted comes first: the goal, latency, size; then what they cost.

    Args:
        models, goal: as for `compare`.

    Examples:
        >>> hh_keras.report.verdict(networks, goal)
        'LW-DNA is 0.30 points less accurate than the original (86.80 % ...
    """
    original, slim = models["original"], models["lw_dna"]
    costs = [
        _relation(slim, original, *words)
        for words in (
            (_latency, "{} lower latency", "{} higher latency",
             "no clear difference in latency"),
            ("tflite_bytes", "a {} smaller .tflite file", "a {} larger .tflite file",
             "a .tflite file as large"),
            ("macs", "{} fewer MACs", "{} more MACs", "as many MACs"),
            ("params", "{} fewer parameters", "{} more parameters",
             "as many parameters"),
        )
    ]  # fmt: skip
    costs = [each for each in costs if each]
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


def _relation(slim, original, quantity, below, above, same):
    """(190, 200, "macs", "{} fewer MACs", ...) -> "5.0 % fewer MACs"."""
    pair = [quantity(m) if callable(quantity) else m.get(quantity) for m in
            (original, slim)]  # fmt: skip
    if not all(map(known, pair)):
        return ""
    within_spread = quantity is _latency and alike(slim["latency_ms"])
    text = numbers.change(*pair)
    if within_spread or text[0] not in "+−":
        return same
    return (below if text[0] == "−" else above).format(text[1:])


def caution(results: Mapping) -> str:
    """Says how far the comparison can be trusted.

    Two accuracies p on n images each differ by chance with a standard deviation of
    at most sqrt(2 p (1 - p) / n); two of them are quoted.

    Examples:
        >>> hh_keras.report.caution(results)
        'This is one run with one seed, which proves little: repeat it with others.'
    """
    original = results["models"]["original"]
    text = "This is one run with one seed, which proves little: repeat it with others."
    if results["models"]["lw_dna"].get("discarded"):
        text = (
            "Training did not make LW-DNA better: it has the weights that it started "
            f"from. {text}"
        )
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
