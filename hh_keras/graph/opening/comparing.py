"""Whether two models give the same numbers."""

from typing import Any

import keras
import numpy as np

from hh_keras.graph.opening.draws import global_state_variable
from hh_keras.graph.opening.tensorflow_functions import uncompiled


def example(struct: Any, batch: Any = 2, seed: Any = 0, size: Any = 32) -> Any:
    """Random inputs in a structure of symbolic tensors.

    Unknown sizes become `size`; integers are 0 or 1, which every vocabulary has.
    """
    rng = np.random.default_rng(seed)

    def one(x):
        shape = [batch if k == 0 else size for k in range(len(x.shape))]
        shape = [m if n is None else n for n, m in zip(x.shape, shape)]
        if keras.backend.is_float_dtype(x.dtype):
            return keras.ops.convert_to_tensor(rng.normal(0, 1, shape), x.dtype)
        return keras.ops.convert_to_tensor(rng.integers(0, 2, shape), x.dtype)

    return keras.tree.map_structure(one, struct)


def difference(
    model: Any, other: Any, inputs: Any, pairs: Any, tolerance: Any = 1e-6
) -> tuple[str | None, str | None]:
    """Says in which way two models differ, and why they could not be compared.

    Both are run, not in training and in training; what that changes in their variables
    is compared and then put back. A model that gives other numbers every time is taken
    as it is.

    Args:
        inputs: what both are called on.
        pairs: `(variable of model, variable of other)`, equal in value.
        tolerance: relative to the spread of the numbers.

    Returns:
        `(what, why)`: each a text or None.
    """
    states = [*model.non_trainable_variables, *other.non_trainable_variables]
    if global_state_variable() is not None:
        states.append(global_state_variable())
    before = [(v, np.asarray(v)) for v in states]

    def restored(model, training):
        for variable, value in before:
            variable.assign(value)
        # Compiled, a class rounds otherwise than its own operations one by one.
        with uncompiled(lambda args: True):
            outputs = model(inputs, training=training)
        return outputs, [sum(np.sum(np.asarray(x)) for x in model.losses)]

    skipped: dict = {}  # why → in which modes
    try:
        for training, mode in ((False, "outside training"), (True, "in training")):
            try:
                expected, loss = restored(model, training)
            except Exception as error:  # random numbers are no input of this model
                why = f"on random numbers it raises {type(error).__name__}"
                skipped.setdefault(why, []).append(mode)
                continue
            after = [np.asarray(a) for a, _ in pairs]
            given, other_loss = restored(other, training)
            others = [np.asarray(b) for _, b in pairs]
            same = _same(expected, given, tolerance)
            if not same:
                again, _ = restored(model, training)
                if _same(expected, again, tolerance):
                    return f"gives other numbers {mode} when it is opened", None
                skipped.setdefault("it gives others every time", []).append(mode)
                continue
            if not _same(loss, other_loss, 1e-4):
                return f"gives other losses {mode} when it is opened", None
            if not all(_same(*each, tolerance) for each in zip(after, others)):
                text = f"updates its statistics otherwise {mode} when it is opened"
                return text, None
    finally:
        for variable, value in before:
            variable.assign(value)
    whys = [f"{' and '.join(modes)}: {why}" for why, modes in skipped.items()]
    return None, "; ".join(whys) or None


def _same(a, b, tolerance):
    a, b = ([np.asarray(x) for x in keras.tree.flatten(v)] for v in (a, b))
    if [x.shape for x in a] != [y.shape for y in b]:
        return False
    return all(_close(x, y, tolerance) for x, y in zip(a, b))


def _close(x, y, tolerance):
    if x.tobytes() == y.tobytes() or x.size == 0:
        return True
    x, y = x.astype("float64"), y.astype("float64")
    gap = np.nanmax(np.abs(x - y), initial=0)
    spread = max(np.ptp(np.nan_to_num(x)), np.abs(np.nan_to_num(x)).max())
    return bool((np.isnan(x) == np.isnan(y)).all() and gap <= tolerance * spread)
