"""What a search found."""

import dataclasses
from typing import Any

import numpy as np

from hh_keras.graph.cost import Cost
from hh_keras.graph.table import Table, text_table
from hh_keras.search.kept import Kept
from hh_keras.surgery.plan import Plan


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ShrinkResult:
    """What `shrink` found; `print` shows the channels of every layer.

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
        (52576, 178880, 25764)
        >>> found.wide.get_layer("conv_1").filters, len(found.plan.kept["conv_1"])
        (32, 14)
        >>> print(found)
        layer   original  widened  left  of the original
        ------  --------  -------  ----  ---------------
        conv_1        16       32    14              88%
        conv_2        16       32     6              38%
        logits        10       10    10             100%
        MACs 52,576 -> 25,764 (49.0%), parameters 2,938 -> 1,224 (41.7%)
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

    def diff(self) -> Table:
        """A table of the channels of every layer: given, widened (if so), and left."""
        given, wide = _sizes(self.cost_before), _sizes(self.cost_wide)
        rows: list[tuple] = []
        for name, (widened, left) in self.plan.channels(self.wide).items():
            own = _channels(given.get(name, ()), wide.get(name, ()), widened)
            share = f"{left / own:.0%}" if own else ""
            rows.append((name, own or "", widened, left, share))
        titles: tuple = ("layer", "original", "widened", "left", "of the original")
        if all(own in ("", widened) for _, own, widened, _, _ in rows):
            rows = [(*row[:2], *row[3:]) for row in rows]
            titles = (*titles[:2], *titles[3:])
        return text_table(titles, rows, range(1, len(titles)))

    def _saved(self):
        before, after = self.cost_before, self.cost_after
        return ", ".join(
            f"{name} {old:,} -> {new:,} ({new / max(1, old):.1%})"
            for name, old, new in (
                ("MACs", before.macs, after.macs),
                ("parameters", before.params, after.params),
            )
        )

    def __str__(self):
        return str(self.diff().with_foot(self._saved()))

    def __repr__(self):
        return f"ShrinkResult({self._saved()})"

    def _repr_html_(self) -> str:
        return self.diff().with_foot(self._saved())._repr_html_()


def _sizes(cost):
    """Name of a layer, or of what attention has inside → shape, or `(count,)`."""
    found = {}
    for row in cost.layers:
        found[row.name] = row.output_shape
        found.update((f"{row.name}.{key}", (n,)) for key, n in row.inside.items())
    return found


def _channels(given, wide, widened):
    """A layer's channels in the given network: along the axis that was widened."""
    axes = [axis for axis, n in enumerate(wide) if n == widened]
    return given[axes[-1]] if axes and len(given) == len(wide) else None
