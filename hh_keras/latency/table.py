"""Measured times of layers over channel counts, kept as JSON."""

import bisect
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from hh_keras import files
from hh_keras.errors import LatencyError

FORMAT, VERSION = "hh_keras.latency", 1
_BEYOND = 1.1  # times the largest count measured: widened counts are rounded


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """Times of one kind of unit.

    Attributes:
        inputs, outputs: channel counts, ascending int tuples.
        ms: milliseconds, float array `(inputs, outputs)`.
    """

    inputs: tuple
    outputs: tuple
    ms: np.ndarray

    def __call__(self, n_in: float, n_out: float) -> float:
        """Milliseconds at other counts: linear between and beyond those measured."""
        (i, k), u = _place(self.inputs, n_in)
        (j, m), v = _place(self.outputs, n_out)
        low = self.ms[i, j] * (1 - v) + self.ms[i, m] * v
        high = self.ms[k, j] * (1 - v) + self.ms[k, m] * v
        return max(float(low * (1 - u) + high * u), 0.0)

    def reaches(self, n_in: float, n_out: float) -> bool:
        """Whether such counts were measured, or are hardly beyond those that were."""
        pairs = (n_in, self.inputs[-1]), (n_out, self.outputs[-1])
        return all(n <= _BEYOND * last + 1 for n, last in pairs)


def _place(counts, n):
    """The neighbours of a count and its place between, `((index, next), share)`."""
    if len(counts) == 1:
        return (0, 0), 0.0
    index = bisect.bisect_right(counts, n, 1, len(counts) - 1) - 1
    low, high = counts[index], counts[index + 1]
    return (index, index + 1), (n - low) / (high - low)


@dataclasses.dataclass(frozen=True, eq=False)
class LatencyTable:
    """What layers cost on one device, through LiteRT.

    Attributes:
        device: what was measured where, for the reader.
        quantize: "float32" or "int8".
        threads: of the interpreter.
        overhead_ms: what running a file takes besides its layers.
        steps: class of layer → `(input step, output step)`: counts between two
            multiples of a step cost what the upper one costs.
        grids: key of a unit → `Grid`.
        networks: architecture → `(factor, offset)`: a whole network takes factor times
            the sum of its units plus offset, in milliseconds.

    Examples:
        >>> table = hh_keras.latency.LatencyTable.load("phone.json")
        >>> table.quantize, table.threads, len(table.grids)
        ('float32', 1, 4)
        >>> limit = hh_keras.Budget(latency_ms=0.5, latency_table=table)
    """

    device: dict
    quantize: str
    threads: int
    overhead_ms: float
    steps: dict
    grids: dict
    networks: dict

    def unit_ms(self, unit: Any, n_in: float, n_out: float) -> float:
        """Milliseconds of one unit with the given counts, as part of a network.

        Raises:
            LatencyError: no unit of its kind was measured.
        """
        grid = self.grids.get(unit.key)
        if grid is None:
            raise LatencyError(
                f"the latency table has no layer like '{unit.name}' "
                f"({'+'.join(type(s.op).__name__ for s in unit.steps)}, "
                f"{'x'.join(map(str, unit.output.shape))}). Measure a table for this "
                "network: hh_keras.latency.measure or launch/latency.py."
            )
        first, last = self.steps.get(contraction(unit), (1, 1))
        n_in, n_out = -(-n_in // first) * first, -(-n_out // last) * last
        return max(grid(n_in, n_out) - self.overhead_ms, 0.0)

    def check_reach(self, unit: Any, n_in: float, n_out: float) -> None:
        """Raises LatencyError if units of its kind were measured on fewer channels."""
        grid = self.grids.get(unit.key)
        if grid is None or grid.reaches(n_in if unit.contracts else 1, n_out):
            return
        raise LatencyError(
            f"the latency table was measured for up to {grid.inputs[-1]} input and "
            f"{grid.outputs[-1]} output channels of layers like '{unit.name}', which "
            f"has {n_in:g} and {n_out:g} here. Measure them: launch/latency.py with "
            "the --width_mult, --classes and --channels of the search, or "
            "hh_keras.latency.measure with its model and width."
        )

    def total_ms(self, architecture: str, units_ms: float) -> float:
        """Milliseconds of a network from the sum of its units.

        One that was never measured whole gets the median of the others' factors.
        """
        factor, offset = self.networks.get(architecture) or (
            float(np.median([f for f, _ in self.networks.values()] or [1.0])),
            self.overhead_ms,
        )
        return factor * units_ms + offset

    def to_json(self) -> str:
        """JSON text of the table."""
        fields = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name != "grids"
        }
        grids = {
            key: {
                "inputs": list(grid.inputs),
                "outputs": list(grid.outputs),
                "ms": np.round(grid.ms, 6).tolist(),
            }
            for key, grid in self.grids.items()
        }
        data = {"format": FORMAT, "version": VERSION, **fields, "grids": grids}
        return json.dumps(data, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "latency table") -> "LatencyTable":
        """Reads a table from JSON text.

        Raises:
            LatencyError: it is none, or of a newer version.
        """
        try:
            data = json.loads(text)
            if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
                raise ValueError("it does not say that it is one")
            if data.pop("version") != VERSION:
                raise LatencyError(
                    f"{source}: this version of the table is not known to this release "
                    f"of hh_keras, which reads version {VERSION}. Measure it again."
                )
            grids = {
                key: Grid(tuple(g["inputs"]), tuple(g["outputs"]), np.array(g["ms"]))
                for key, g in data.pop("grids").items()
            }
            for key, grid in grids.items():
                if grid.ms.shape != (len(grid.inputs), len(grid.outputs)):
                    raise ValueError(f"the grid of {key} has the wrong shape")
            networks = {k: tuple(v) for k, v in data.pop("networks").items()}
            steps = {k: tuple(v) for k, v in data.pop("steps").items()}
            table = cls(grids=grids, networks=networks, steps=steps, **data)
            _check_numbers(table)
            return table
        except LatencyError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LatencyError(
                f"{source}: not a readable latency table ({type(error).__name__}: "
                f"{error}). Measure it again with launch/latency.py."
            ) from error

    def save(self, path: str | Path) -> None:
        """Writes the table to a JSON file, whole or not at all.

        Raises:
            WorkdirError: the file cannot be written.
        """
        files.write(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "LatencyTable":
        """Reads a table from a JSON file.

        Raises:
            LatencyError: the file is missing or no table.
        """
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise LatencyError(f"{path}: cannot be read ({error}).") from error
        return cls.from_json(text, str(path))


def _check_numbers(table):
    """Raises ValueError for numbers that no measurement gives."""
    for kind, pair in table.steps.items():
        if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
            raise ValueError(
                f"steps of {kind} are {list(pair)}, not whole and positive"
            )
    numbers = [np.array([table.overhead_ms], float)]
    for key, grid in table.grids.items():
        numbers.append(grid.ms)
        for counts in (grid.inputs, grid.outputs):
            if not counts or counts[0] < 1 or np.any(np.diff(counts) <= 0):
                raise ValueError(f"the channel counts of {key} do not rise from 1")
    if any(not np.isfinite(each).all() or (each < 0).any() for each in numbers):
        raise ValueError("times are negative or not finite")
    for key, pair in table.networks.items():
        if len(pair) != 2 or not np.isfinite(pair).all() or not pair[0] > 0:
            raise ValueError(f"the factor and offset of network {key} are {list(pair)}")


def contraction(unit: Any) -> Any:
    """The class of the layer that a unit's steps depend on, None if there is none."""
    names = [type(step.op).__name__ for step in unit.steps]
    return next((n for n in names if "Conv" in n or n == "Dense"), None)
