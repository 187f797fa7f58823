"""One trial from beginning to end, and what is known of earlier ones."""

import dataclasses
import weakref
from fractions import Fraction
from typing import Any

import keras
import numpy as np

from hh_keras.graph.cloning import is_told
from hh_keras.graph.closed import why_closed
from hh_keras.graph.ids import IdTensor
from hh_keras.graph.rules.registry import Effect, RuleCall
from hh_keras.graph.trial.channelwise import made_smaller, passing_axes
from hh_keras.graph.trial.finding import Finding, effect_of
from hh_keras.graph.trial.making import made
from hh_keras.graph.trial.subject import Subject, Unproved, same
from hh_keras.graph.weights import variables


def try_call(op: Any, call: RuleCall) -> Effect:
    """The effect of a call of an operation that has no rule.

    Args:
        op: a layer or operation; it is not changed.
        call: the `RuleCall`.

    Returns:
        An `Effect`; where nothing was proved, one that stops, with the reason.
    """
    known, key = _TRIED.setdefault(op, {}), _key(op, call)
    if key not in known:
        known[key] = _try(op, call), _rows_of(op, call)
    found, rows = known[key]
    if isinstance(found, str):
        closed = isinstance(op, keras.Layer) and why_closed(op)
        effect = call.stops(f"{found}; not opened: {closed}" if closed else found)
    else:
        effect = effect_of(call, found)
    outputs = effect.outputs if isinstance(effect.outputs, list) else [effect.outputs]
    before = call.rows
    return dataclasses.replace(
        effect,
        outputs=[
            dataclasses.replace(x, rows=None if None in (n, before) else before * n)
            for x, n in zip(outputs, rows)
        ],
    )


# Operation → attributes, and shapes of a call → (what was found, rows of each output).
# Each operation by itself: what it does may depend on things that no config tells.
_TRIED: Any = weakref.WeakKeyDictionary()


def _rows_of(op, call):
    """How many rows of each output one row of the inputs becomes; None if unknown.

    An operation may fold positions into the batch: its shapes for two batches tell.
    """
    if not call.inputs or any(x.shape[:1] != (None,) for x in call.inputs):
        return [1] * len(call.shapes)
    counts = []
    for batch in (120, 240):  # what unfolds the batch divides it
        args, kwargs = keras.tree.map_structure(
            lambda x: (
                keras.KerasTensor((batch, *x.shape[1:]), x.dtype)  # noqa: B023
                if isinstance(x, IdTensor)
                else x
            ),
            (call.args, call.kwargs),
        )
        try:
            spec = keras.tree.flatten(op.compute_output_spec(*args, **kwargs))
        except Exception:  # a user's layer may raise anything
            return [None] * len(call.shapes)
        counts.append([_share(t.shape, batch) for t in spec])
    if len(counts[0]) != len(call.shapes):
        return [None] * len(call.shapes)
    return [a if a == b else None for a, b in zip(*counts)]


def _share(shape, batch):
    """Rows per row, if the batch is still the first axis."""
    return Fraction(shape[0], batch) if shape and shape[0] else 1


def _key(op, call):
    """Trials of one operation, as it is now, on equal shapes find the same."""
    plain = (bool, int, float, str, tuple, type(None))
    attributes = {
        k: v
        for k, v in vars(op).items()
        if isinstance(v, plain) or (k[:1] != "_" and is_told(v))
    }
    inputs = tuple((x.shape, x.varying, x.dtype, x.is_fixed) for x in call.inputs)
    rest = keras.tree.map_structure(
        lambda x: "tensor" if isinstance(x, IdTensor) else _text(x),
        (call.args, call.kwargs),
    )
    return inputs, repr(rest), repr(attributes)


def _text(x):
    return x.tobytes() if isinstance(x, np.ndarray) else repr(x)


def _try(op, call):
    """A `Finding`, or the reason why there is none."""
    try:
        return _finding(Subject(op, call))
    except Unproved as seen:
        return str(seen)
    except Exception as error:  # a user's layer may raise anything
        return f"cannot be tried by itself ({type(error).__name__})"


def _finding(subject):
    op = subject.copy({}, subject.values)
    before = _state(op)
    outputs = subject.finite_outputs(op)
    if not all(map(same, outputs, subject.run(op, subject.values))):
        raise Unproved("gives other numbers at every call")
    if not all(map(same, before, _state(op))):
        raise Unproved("has state that changes")
    seen = None
    if subject.varying:
        passes, seen = passing_axes(subject, op)
        if passes:
            return made_smaller(subject, op, outputs, passes)
    elif subject.as_if_varying():
        # Channels that must stay anyway may pass, so that nothing is made here.
        passes, _ = passing_axes(subject, op)
        subject.as_fixed()
        if passes:
            return Finding(passes=passes)
    return made(subject, op, outputs, seen)


def _state(op):
    return [keras.ops.convert_to_numpy(v).copy() for v in variables(op).values()]
