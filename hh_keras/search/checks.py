"""What is wrong with calibration data, said before or after it is learnt from."""

import math
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from hh_keras.errors import SearchError
from hh_keras.graph.calls import (
    as_graph,
    interpret,
    is_layer,
    leaf_operations,
    match_inputs,
)
from hh_keras.graph.inference import infer
from hh_keras.graph.weights import variables
from hh_keras.surgery.moments import Moments
from hh_keras.surgery.readers import Reader

# Photographs that a network was not trained on have 0.7 to 0.8 of the variance that it
# remembers, one alone 0.4; half the range has 0.2, and twice the range 3.
_VARIANCES = 0.3, 2.8
_SHIFT = 1.25  # standard deviations
_ENOUGH = 8  # examples; of fewer, what is three times further off is let pass
_PAST: Any = object()  # what lies behind the first BatchNormalization


def flat_inputs(model: keras.Model, inputs: Any) -> list:
    """A batch's inputs in the order of the model's own.

    Raises:
        SearchError: other inputs than the model takes; the message says which.
    """
    graph = as_graph(model)
    found = match_inputs(graph, inputs) if _named(graph, inputs) else None
    found = keras.tree.flatten(inputs) if found is None else found
    if len(found) != len(graph.inputs):
        raise SearchError(
            f"model '{model.name}' takes {len(graph.inputs)} inputs "
            f"({', '.join(t.name for t in graph.inputs)}), but a batch of the "
            f"calibration data holds {len(found)}: give each batch as a dict by these "
            "names, or as a list in this order; with labels, (inputs, labels)."
        )
    for tensor, x in zip(graph.inputs, found):
        takes, has = tuple(tensor.shape[1:]), tuple(np.shape(x)[1:])
        fits = len(takes) == len(has) and all(
            a is None or a == b for a, b in zip(takes, has)
        )
        if not fits:
            raise SearchError(
                f"input '{tensor.name}' of model '{model.name}' takes {_shape(takes)}, "
                f"so the model does not run on the calibration data, which is "
                f"{_shape(has)}: bring it to that shape."
            )
    return found


def _named(graph, inputs):
    """Whether inputs are a dict by the names that the model knows."""
    if not isinstance(inputs, dict):
        return False
    own = graph._inputs_struct
    names = own if isinstance(own, dict) else [t.name for t in graph.inputs]
    return set(inputs) >= set(names)


def _shape(shape):
    return "x".join("any" if n is None else str(n) for n in shape) or "numbers"


def checked(model: keras.Model, batches: Iterable) -> Iterator[list]:
    """Passes batches of inputs on, flat, as long as they can be learnt from.

    Args:
        model: what they are for.
        batches: inputs as the model takes them.

    Raises:
        SearchError: inputs that the model does not take, values that are not finite,
            or, at the end, examples that are all the same.
    """
    first: list | None = []
    count = 0
    for number, inputs in enumerate(batches, 1):
        flat = flat_inputs(model, inputs)
        arrays = [np.asarray(x) for x in flat]
        for tensor, x in zip(as_graph(model).inputs, arrays):
            if np.issubdtype(x.dtype, np.floating) and not np.isfinite(x).all():
                bad = int((~np.isfinite(x.reshape(len(x), -1))).any(1).sum())
                raise SearchError(
                    f"batch {number} of the calibration data holds NaN or infinite "
                    f"values in {bad} of {len(x)} examples of input '{tensor.name}': "
                    "leave these out."
                )
        count += len(arrays[0])
        if first is not None and len(arrays[0]):
            first = first or [x[:1] for x in arrays]
            if not all((x == one).all() for x, one in zip(arrays, first)):
                first = None  # they differ: no need to look on
        yield flat
    if first and count > 1:
        raise SearchError(
            f"all {count} examples of the calibration data are the same: nothing "
            "can be learnt from them. Give different ones, such as those the network "
            "is to work on."
        )


def check_weights(model: keras.Model) -> None:
    """Raises SearchError if a weight is NaN or infinite; the message names it."""
    for path, op in leaf_operations(model):
        for name, value in variables(op).items() if is_layer(op) else ():
            value = keras.ops.convert_to_numpy(value)
            if value.dtype.kind not in "biuSUO" and not np.isfinite(value).all():
                raise SearchError(
                    f"weight '{name}' of layer '{path}' holds NaN or infinite values, "
                    "so nothing can be learnt from the network: its training has "
                    "failed, or its file is damaged."
                )


def check_slopes(moments: dict[str, Moments]) -> None:
    """Raises SearchError if slopes are NaN or infinite; the message names the layer."""
    for path, each in moments.items():
        found = [x for x in (each.energy, each.removal) if x is not None]
        if not all(np.isfinite(x).all() for x in found):
            raise SearchError(
                f"how the outputs depend on layer '{path}' is not finite on the "
                "calibration data: check the inputs (another range than in training?) "
                "and what the network puts out."
            )


def warn_of_few(
    readers: Iterable[Reader], moments: dict[str, Moments], examples: int
) -> None:
    """Warns if kernels have more rows to learn of than they saw vectors."""
    few = []
    for reader in readers:
        rows = len(reader.ids) // reader.groups
        vectors = float(moments[reader.name].counts.sum())
        if vectors < rows:
            few.append((rows / vectors, reader, rows, round(vectors)))
    if not few:
        return
    lack, reader, rows, vectors = max(few, key=lambda each: each[0])
    others = f" (and {len(few) - 1} layers more)" if few[1:] else ""
    where = f" at {reader.positions} positions" if reader.positions > 1 else ""
    warnings.warn(
        f"few calibration data: layer '{reader.path}'{others} reads "
        f"{rows // reader.positions} channels{where}, but {examples} examples gave it "
        f"{vectors} vectors to learn from; {math.ceil(lack * examples)} examples would "
        "do. It goes on, and what cannot be learnt safely is left as it is.",
        stacklevel=2,
    )


def watched(model: keras.Model, batches: Iterable[list], sizes: list) -> Iterator[list]:
    """Passes batches on; of the first few, `warn_of_range`.

    Args:
        model, batches: as above.
        sizes: gets the number of examples of each batch.
    """
    first: list | None = []
    for flat in batches:
        if first is not None:
            first.append(flat)
            if sum(len(each[0]) for each in first) >= _ENOUGH:
                warn_of_range(model, first)
                first = None
        sizes.append(len(flat[0]))
        yield flat
    if first and sum(sizes) > 1:
        warn_of_range(model, first)


def warn_of_range(model: keras.Model, batches: list[list]) -> None:
    """Warns if inputs are of another range than those that a model was trained on.

    What the first BatchNormalization layers see is compared with what they remember
    of training. Layers that were never trained tell nothing.

    Args:
        model: a trained model.
        batches: the first few, flat.
    """
    examples = sum(len(each[0]) for each in batches)
    for path, (layer, seen) in _first_norms(model, batches).items():
        mean, variance = (
            np.asarray(v, "float64") for v in (layer.moving_mean, layer.moving_variance)
        )
        if (mean == 0).all() and (variance == 1).all():
            continue  # as it was built
        axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
        parts = [np.moveaxis(x, axis, -1).reshape(-1, len(mean)) for x in seen]
        x = np.concatenate(parts).astype("float64")
        alive = variance > 1e-3 * np.median(variance)
        if len(x) < 2 or not alive.any():
            continue
        deviation = np.sqrt(variance[alive])
        ratio = float(np.median((x.std(0)[alive] / deviation) ** 2))
        shift = float(np.median(np.abs(x.mean(0) - mean)[alive] / deviation))
        room = 1 if examples >= _ENOUGH else 3
        low, high = _VARIANCES[0] / room, _VARIANCES[1] * room
        if low <= ratio <= high and shift <= room * _SHIFT:
            continue
        both = float(np.median(x.std(0)[alive])), float(np.median(deviation))
        warnings.warn(
            f"the calibration data are of another range than the network was trained "
            f"on: what layer '{path}' sees has a standard deviation of {both[0]:.3g} "
            f"and lies {shift:.2g} standard deviations off; in training it was "
            f"{both[1]:.3g}. Give inputs as in training (pixels 0 to 255, 0 to 1, or "
            "-1 to 1?).",
            stacklevel=2,
        )
        return


def _first_norms(model, batches):
    """Path → `(layer, what it reads)` of those with no other one before them."""
    found: dict = {}

    def step(path, call, args, kwargs):
        flat = keras.tree.flatten((args, kwargs))
        if any(x is _PAST for x in flat):
            return [_PAST] * len(call.outputs)
        if isinstance(call.op, keras.layers.BatchNormalization):
            found.setdefault(path, (call.op, []))[1].append(np.asarray(flat[0]))
            return [_PAST]
        return keras.tree.flatten(infer(call.op, args, kwargs))

    for inputs in batches:
        interpret(model, [keras.ops.convert_to_tensor(x) for x in inputs], step)
    return found
