"""Where two networks of one architecture differ in time, layer by layer, measured."""

import dataclasses
import math
import time

import keras

from hh_keras.latency.building import build, convert
from hh_keras.latency.measuring import time_files, typical
from hh_keras.latency.units import Unit, counts, units

_ROUNDS = 10


@dataclasses.dataclass(frozen=True)
class LayerTime:
    """What one layer, with what a runtime fuses into it, takes in two networks.

    Attributes:
        name: path of the layer.
        size: of what it puts out, without channels.
        inputs, outputs: channels before and after.
        ms: milliseconds before and after, run alone.
        contracts: whether it sums over its input channels.

    Examples:
        >>> layer = hh_keras.latency.LayerTime(
        ...     "conv_1", (6, 6), (3, 3), (16, 9), ms=(0.004, 0.003), contracts=True
        ... )
        >>> layer.ms[1] < layer.ms[0]
        True
    """

    name: str
    size: tuple
    inputs: tuple
    outputs: tuple
    ms: tuple
    contracts: bool


def layer_times(
    before: keras.Model,
    after: keras.Model,
    quantize: str = "float32",
    threads: int = 1,
    seconds: float = 6.0,
    input_shape: tuple | None = None,
) -> list[LayerTime]:
    """Times the layers whose channel counts differ, each alone, all in turns.

    Args:
        before, after: networks that differ in channel counts alone.
        quantize: "float32" or "int8".
        threads: of the interpreter.
        seconds: for building; beyond them the layers with least to do are left out.
        input_shape: of one example, for models of unknown spatial size.

    Returns:
        A list of `LayerTime` in network order. Layers that cannot be built alone are
        left out; there are none if the architectures differ.

    Raises:
        ModelError: spatial sizes are unknown.

    Examples:
        >>> layers = hh_keras.latency.layer_times(model, small, seconds=1)
        >>> all(milliseconds > 0 for layer in layers for milliseconds in layer.ms)
        True
    """
    both = [units(model, input_shape=input_shape) for model in (before, after)]
    if [u.name for u in both[0]] != [u.name for u in both[1]]:
        return []
    pairs = [pair for pair in zip(*both) if counts(pair[0]) != counts(pair[1])]
    files = _files(sorted(pairs, key=_work, reverse=True), quantize, seconds)
    if not files:
        return []
    contents = list(files.values())
    times = typical(time_files(contents, threads, _ROUNDS)).tolist()
    ms = dict(zip(files, times))
    return [_time(a, b, ms) for a, b in pairs if _kind(a) in ms and _kind(b) in ms]


def _files(pairs, quantize, seconds):
    """Every kind of layer once, as the file that is timed."""
    started, found = time.perf_counter(), {}
    for pair in pairs:
        if time.perf_counter() - started > seconds:
            break
        for unit in pair:
            if _kind(unit) in found:
                continue
            try:
                found[_kind(unit)] = convert(build(unit, *counts(unit)), quantize)
            except Exception:  # layers and converter raise many kinds
                break
    return found


def _kind(unit):
    return (unit.key, *counts(unit))


def _work(pair):
    """Roughly what the pair has to compute, to measure the largest first."""
    return sum(_computes(unit) for unit in pair)


def _computes(unit: Unit) -> int:
    n_in, n_out = counts(unit)
    return math.prod(unit.output.shape[:-1]) * n_out * (n_in if unit.contracts else 1)


def _time(before, after, ms):
    (in_before, out_before), (in_after, out_after) = counts(before), counts(after)
    return LayerTime(
        before.name,
        tuple(before.output.shape[:-1]),
        (in_before, in_after),
        (out_before, out_after),
        tuple(round(ms[_kind(unit)], 6) for unit in (before, after)),
        before.contracts,
    )
