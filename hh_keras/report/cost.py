"""The picture of what every layer costs, before and after."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from hh_keras.report import numbers
from hh_keras.report.layers import CHANGES_PER_ROW, layer_rows, total_share
from hh_keras.report.style import NAMES, headline


def plot_cost(models: Mapping) -> Figure:
    """Draws what every layer with MACs costs, in MACs and in parameters.

    Args:
        models: `models` of the results, see `hh_keras.report`.

    Examples:
        >>> figure = hh_keras.report.plot_cost(networks)
        >>> figure.savefig("cost.png")
    """
    parts = [
        (f"{label} of each layer", *_layers(models, key))
        for key, label in (("macs", "MACs"), ("params", "parameters"))
    ]
    return headline(layer_rows(parts, 2 * CHANGES_PER_ROW), cost_finding(models))


def cost_finding(models: Mapping) -> str:
    """Says in one sentence what LW-DNA costs."""
    pair = models["original"], models["lw_dna"]
    macs, params = ([model[key] for model in pair] for key in ("macs", "params"))
    return (
        f"LW-DNA needs {total_share(*macs)} of the original's MACs "
        f"({' → '.join(map(numbers.millions, macs))}) and {total_share(*params)} of "
        f"its parameters ({' → '.join(map(numbers.millions, params))})"
    )


def _layers(models, key):
    """Names of the layers with MACs, and `key` of each in both networks."""
    tables = [{each["name"]: each for each in models[n]["layers"]} for n in NAMES]
    names = [
        name
        for name in dict.fromkeys(name for table in tables for name in table)
        if any(table.get(name, {}).get("macs") for table in tables)
    ]
    values = ([table.get(name, {}).get(key, 0) for name in names] for table in tables)
    return names, *map(np.array, values)
