"""Why the smaller network takes longer, and what would cure it."""

import json
import math
from collections.abc import Mapping, Sequence

from hh_keras.report import numbers
from hh_keras.report.numbers import DASH, known

_NAMED = 3  # layers in a sentence
_SHOWN = 20  # layers in the table
_LARGE = 1 / 4  # of the largest image in the network


def lengthened(times: Mapping) -> bool:
    """Whether a network took longer than the original in three of four rounds.

    Args:
        times: its `latency_ms`, see `hh_keras.report`.

    Examples:
        >>> times = {"median": 1.3, "ratio_p25": 1.1, "ratio_p75": 1.2}
        >>> hh_keras.report.lengthened(times)
        True
    """
    return known(times.get("ratio_p25")) and times["ratio_p25"] > 1


def alike(times: Mapping) -> bool:
    """Whether it took neither longer nor less in three of four rounds.

    Args:
        times: as for `lengthened`.
    """
    low, high = (times.get(key) for key in ("ratio_p25", "ratio_p75"))
    return known(low) and known(high) and low <= 1 <= high


def cause(results: Mapping) -> str:
    """Says which layers made latency rise and what would cure it; "" if it did not.

    Args:
        results: see `hh_keras.report`.

    Examples:
        >>> hh_keras.report.cause(results)  # it is not slower
        ''
    """
    if not lengthened(results["models"]["lw_dna"].get("latency_ms") or {}):
        return ""
    layers = results.get("layer_times") or []
    slower = [layer for layer in layers if _rise(layer) > 0]
    slower.sort(key=_rise, reverse=True)
    limited = known((results.get("budget") or {}).get("latency_ms"))
    sentences = [
        _where(layers, slower),
        _uneven(slower, (results.get("search") or {}).get("round_to")),
        _grown(slower, layers, results["models"]),
        "" if limited else "--latency=1.0x limits the latency itself.",
    ]
    return " ".join(filter(None, sentences))


def slowest(layers: Sequence[Mapping]) -> list[tuple]:
    """Rows of the layers whose time changed most, as text.

    Args:
        layers: `layer_times` of the results.

    Returns:
        Tuples of layer, milliseconds before and after, input and
        output channels.
    """
    most = sorted(layers, key=lambda layer: abs(_rise(layer)), reverse=True)[:_SHOWN]
    return [
        (
            layer["name"],
            *map(numbers.milliseconds, layer["ms"]),
            _counts(layer["inputs"]) if layer["contracts"] else DASH,
            _counts(layer["outputs"]),
        )
        for layer in most
    ]


def _rise(layer):
    return layer["ms"][1] - layer["ms"][0]


def _counts(pair):
    return " → ".join(map(str, pair))


def _arrow(layer):
    before, after = map(numbers.milliseconds, layer["ms"])
    return f"{before[:-3]} → {after}"


def _listed(layers, write):
    """The first few, those alike as one: "a and 2 alike (...), b (...)"."""
    alike: dict = {}
    for layer in layers:
        key = json.dumps([layer[k] for k in ("size", "inputs", "outputs", "ms")])
        alike.setdefault(key, []).append(layer)
    return ", ".join(
        first["name"]
        + (f" and {len(others)} alike" if others else "")
        + f" ({write(first)})"
        for first, *others in list(alike.values())[:_NAMED]
    )


def _where(layers, slower):
    if not slower:
        return ""
    before, after = (sum(layer["ms"][side] for layer in layers) for side in (0, 1))
    took = (
        f"{len(layers)} layers whose counts changed, each run alone, take "
        f"{numbers.milliseconds(before)} before and {numbers.milliseconds(after)} after"
    )
    if after <= before:
        return (
            f"{took}: run alone they are no slower, so the rise lies between them. "
            f"Longest grew {_listed(slower, _arrow)}."
        )
    named = sum(map(_rise, slower[:_NAMED]))
    most = "most of the rise" if 2 * named >= after - before else "the largest rise"
    return f"{took}; {most} is in {_listed(slower, _arrow)}."


def _uneven(slower, round_to):
    """Counts that leave part of the vector registers empty."""
    odd = [layer for layer in slower if not all(map(_even, _new_counts(layer)))]
    if not odd or round_to == "auto" or (known(round_to) and round_to % 8 == 0):
        return ""
    counts = sorted({n for layer in odd for n in _new_counts(layer) if not _even(n)})
    some = ", ".join(map(str, counts[:5])) + (" …" if len(counts) > 5 else "")
    return (
        f"{len(odd)} of the {len(slower)} slower layers have counts that are no "
        f"multiples of 8 ({some}): --round_to=auto (or 8) keeps to such."
    )


def _new_counts(layer):
    """The counts that the search chose."""
    sides = ("inputs", "outputs") if layer["contracts"] else ("outputs",)
    return [after for before, after in (layer[s] for s in sides) if after != before]


def _even(count):
    return count % (8 if count >= 16 else 4) == 0


def _grown(slower, layers, models):
    """Layers that got more to do where images are large."""
    largest = max((math.prod(layer["size"]) for layer in layers), default=0)
    macs = [
        {layer["name"]: layer["macs"] for layer in models[name]["layers"]}
        for name in ("original", "lw_dna")
    ]
    change = {
        name: numbers.change(*(table.get(name) for table in macs)) for name in macs[0]
    }
    grown = [
        layer
        for layer in slower
        if math.prod(layer["size"]) >= _LARGE * largest
        and change.get(layer["name"], "").startswith("+")
    ]
    if not grown:
        return ""
    named = _listed(
        grown,
        lambda layer: (
            f"{change[layer['name']]} at {'x'.join(map(str, layer['size']))}, "
            f"{_arrow(layer)}"
        ),
    )
    return f"MACs grew where images are large: {named}."
