"""Making a latency table: building, converting and timing the kinds of layers."""

import dataclasses
import os
import platform
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from hh_keras.errors import LatencyError
from hh_keras.export.prediction import interpreter_class
from hh_keras.graph.opening.inline import ordinary
from hh_keras.graph.tracing import trace
from hh_keras.latency.building import QUANTIZATIONS, build, convert
from hh_keras.latency.measuring import time_files, typical
from hh_keras.latency.prediction import latency_model
from hh_keras.latency.table import Grid, LatencyTable, contraction
from hh_keras.latency.units import counts, units
from hh_keras.surgery.plan import Plan
from hh_keras.surgery.rebuild import rebuild

_SHARES = (1 / 16, 1 / 4, 1 / 2, 1)  # of the largest count, where times are taken
_STEPS = (1, 2, 4, 8, 16, 32)
_SWEEP = range(33, 66, 2)
_IN_TURNS = 64  # files timed together


def measure(
    models: Sequence[keras.Model],
    quantize: str = "float32",
    threads: int = 1,
    width: float = 2.0,
    rounds: int = 30,
    table: LatencyTable | None = None,
    progress: Callable[[str], object] | None = None,
    input_shape: tuple | None = None,
) -> LatencyTable:
    """Measures a latency table for networks of some architectures.

    Each kind of layer is built at several channel counts, converted, and run alone,
    all in turns. The networks themselves are run too, whole and at half their width:
    that tells what running layers one after another takes more, or less.

    Args:
        models: functional or Sequential Keras models.
        quantize: "float32" or "int8".
        threads: of the interpreter.
        width: the largest counts are so many times those of the models; as much as the
            search widens, by default like that of `hh_keras.shrink`.
        rounds: timed runs of each layer.
        table: a `LatencyTable` of this device to add to; what it has, on as many
            channels, is not measured again.
        progress: called with a line of text now and then.
        input_shape: of one example, for models of unknown spatial size.

    Returns:
        A `LatencyTable`.

    Raises:
        LatencyError: unknown `quantize`, or a table of other settings.

    Examples:
        >>> head = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8)])
        >>> table = hh_keras.latency.measure([head], rounds=2)
        >>> table.save("this_machine.json")
    """
    if quantize not in QUANTIZATIONS:
        raise LatencyError(f"quantize '{quantize}' is none of {QUANTIZATIONS}.")
    table = table or LatencyTable(device(), quantize, threads, 0.0, {}, {}, {})
    if (table.quantize, table.threads) != (quantize, threads):
        raise LatencyError(
            f"the table to add to is for {table.quantize} with {table.threads} "
            f"threads, not {quantize} with {threads}."
        )
    tell = progress or (lambda text: None)
    found: dict[Any, list] = {}
    models = [ordinary(model) for model in models]
    for model in models:
        channel_map = trace(model, input_shape)
        for unit in units(model, channel_map, input_shape):
            found.setdefault(unit.key, []).append((unit, channel_map))
    found = {
        key: members
        for key, members in found.items()
        if key not in table.grids or not _reached(table.grids[key], members, width)
    }

    def timed(files):
        return typical(time_files(files, threads, rounds))

    overhead = table.overhead_ms or float(timed([_nothing(quantize)])[0])
    steps = dict(table.steps)
    for members in found.values():
        kind = contraction(members[0][0])
        if kind and kind not in steps:
            tell(f"steps of {kind}")
            steps[kind] = _steps_of(members[0][0], quantize, timed)
    points = [
        (key, members[0][0], point)
        for key, members in found.items()
        for point in _points(members, steps, width, table.grids.get(key))
    ]
    grids = dict(table.grids)
    grids.update(_grids(points, quantize, timed, tell))
    table = dataclasses.replace(table, overhead_ms=overhead, steps=steps, grids=grids)
    return _with_networks(table, models, rounds, tell, input_shape)


def _reached(grid, members, width):
    """Whether a grid has the counts of some units, so many times wider where free."""
    wider = [max(1, width * _free(members, side)) for side in (0, 1)]
    return all(
        grid.reaches(n_in * wider[0] if unit.contracts else 1, n_out * wider[1])
        for unit, _ in members
        for n_in, n_out in [counts(unit)]
    )


def _points(members, steps, width, known=None):
    """The `(inputs, outputs)` at which a kind of unit is timed, those known again."""
    unit = members[0][0]
    first, last = steps.get(contraction(unit), (1, 1))
    most = [counts(each) for each, _ in members]
    n_in = _counts([n for n, _ in most], first, width * _free(members, 0))
    n_out = _counts([n for _, n in most], last, width * _free(members, 1))
    if known:
        n_in = sorted({*n_in, *known.inputs})
        n_out = sorted({*n_out, *known.outputs})
    if not unit.contracts:
        return [(1, n) for n in n_out]
    return [(i, o) for i in n_in for o in n_out]


def _free(members, side):
    """1 if some unit's channels on that side can leave, else 0."""
    for unit, channel_map in members:
        values = (unit.output,) if side else unit.inputs
        arrays = [value.ids for value in values if value.ids is not None]
        if not side:
            arrays += [ids for each in unit.inner for ids in each]
        if any(channel_map.may_leave[ids[ids >= 0]].any() for ids in arrays):
            return 1
    return 0


def _counts(seen, step, width):
    if not width:
        return sorted(set(seen))
    most = max(round(max(seen) * width), max(seen))
    # TensorFlow cannot convert the sum of two sequences of one channel.
    found = {max(1, -(-round(most * s) // step)) * step for s in _SHARES}
    return sorted({max(n, min(2, most)) for n in found})


def _grids(points, quantize, timed, tell):
    times = {}
    for start in range(0, len(points), _IN_TURNS):
        some = points[start : start + _IN_TURNS]
        tell(f"layers {start} to {start + len(some)} of {len(points)}")
        contents = [_file(unit, *point, quantize) for _, unit, point in some]
        for (key, _, point), ms in zip(some, timed(contents)):
            times.setdefault(key, {})[point] = ms
    return {key: _grid(found) for key, found in times.items()}


def _grid(found):
    inputs, outputs = (sorted({p[axis] for p in found}) for axis in (0, 1))
    ms = np.array([[found[i, o] for o in outputs] for i in inputs])
    # More channels never take less: what looks so is noise, and a search for the
    # widest network that fits relies on it.
    for axis in (0, 1):
        ms = np.maximum.accumulate(ms, axis)
    return Grid(tuple(inputs), tuple(outputs), ms)


def _file(unit, n_in, n_out, quantize):
    try:
        return convert(build(unit, n_in, n_out), quantize)
    except Exception as error:  # layers and converter raise many kinds
        reason = " ".join(str(error).split())[:200]
        raise LatencyError(
            f"layer '{unit.name}' cannot be timed alone with {n_in} input and {n_out} "
            f"output channels: {type(error).__name__}: {reason}"
        ) from error


def _steps_of(unit, quantize, timed):
    """Between which multiples a layer's time does not change, input and output."""
    around = [(n, 48) for n in _SWEEP], [(48, n) for n in _SWEEP]
    if not unit.contracts:
        around = [], around[1]
    found = []
    for points in around:
        if not points:
            found.append(1)
            continue
        ms = timed([_file(unit, *point, quantize) for point in points])
        found.append(_best_step(np.array(_SWEEP), ms))
    return tuple(found)


def _best_step(n, ms):
    """The step for which time is nearest to linear in the count rounded up to it."""
    errors = []
    for step in _STEPS:
        padded = -(-n // step) * step
        line = np.polyfit(padded, ms, 1)
        errors.append(np.abs(np.polyval(line, padded) - ms).sum())
    # A larger step explains as much as a smaller one with less: noise decides unless
    # it is clearly better.
    best = int(np.argmin(errors))
    return _STEPS[best] if errors[best] < 0.8 * errors[0] else 1


def _with_networks(table, models, rounds, tell, input_shape):
    """Adds what whole networks take beyond the sum of their units."""
    networks = dict(table.networks)
    for model in models:
        channel_map = trace(model, input_shape)
        ours = latency_model(model, table, channel_map, input_shape)
        if ours.architecture in networks:
            continue
        tell(f"{model.name} as a whole")
        groups = channel_map.groups
        sizes = [len(g) for g in groups]
        halves = [
            n if g.frozen else max(min(2, n), -(-n // 2)) for g, n in zip(groups, sizes)
        ]
        keep = np.zeros(channel_map.size, bool)
        for group, n in zip(groups, halves):
            keep[group.ids.start : group.ids.start + n] = True
        half = rebuild(model, Plan.of(channel_map, keep), "fresh", 0)
        contents = [convert(each, table.quantize) for each in (model, half)]
        whole = typical(time_files(contents, table.threads, rounds, twice=True))
        sums = [sum(ours.per_unit(kept)) for kept in (sizes, halves)]
        networks[ours.architecture] = _line(sums, whole.tolist())
    return dataclasses.replace(table, networks=networks)


def _line(sums, whole):
    """`(factor, offset)` through both points, the offset within reason."""
    if not sums[0]:  # no layer took longer than next to nothing
        return 1.0, whole[0]
    if sums[0] - sums[1] < 0.05 * sums[0]:
        return whole[0] / sums[0], 0.0
    factor = (whole[0] - whole[1]) / (sums[0] - sums[1])
    offset = whole[0] - factor * sums[0]
    if factor <= 0 or abs(offset) > 0.5 * whole[1]:
        return whole[0] / sums[0], 0.0
    return factor, offset


def _nothing(quantize):
    """A file that has next to nothing to do."""
    inputs = keras.Input((1, 1, 1), batch_size=1)
    return convert(keras.Model(inputs, keras.layers.ReLU()(inputs)), quantize)


def device() -> dict:
    """What tells one device from another, a dict of plain values.

    Examples:
        >>> sorted(hh_keras.latency.device())
        ['cores', 'machine', 'processor', 'runtime']
    """
    runtime = interpreter_class()
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "runtime": runtime.__module__.split(".")[0],
    }


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()
