"""Layers that make channels: which outputs, and which inputs, can leave."""

from typing import Any

import numpy as np

from hh_keras.graph.calls import is_layer
from hh_keras.graph.trial import costs
from hh_keras.graph.trial.finding import Finding
from hh_keras.graph.trial.subject import (
    Subject,
    Unproved,
    along,
    check_close,
    cut_weights,
)
from hh_keras.graph.weights import variables

_UNSET = "nothing in its config says how many channels it makes"
_OTHERWISE = "made with fewer channels, it is another layer or gives other numbers"


def made(subject: Subject, op: Any, outputs: list, seen: str | None) -> Finding:
    """Proves what can leave a layer that makes channels.

    Args:
        subject, op: the subject and a copy of its operation.
        outputs: of the copy.
        seen: what speaks against its passing channels on, or None.

    Raises:
        Unproved: nothing can leave.
    """
    if not is_layer(op) or not variables(op) or len(outputs) != 1:
        raise Unproved(seen or "has no rule, and takes nothing that can be changed")
    proved = _outputs_leave(subject, op, outputs[0])
    if proved is None:
        sizes = {n for n in outputs[0].shape[1:] if n > 1}
        keys = [k for n in sizes for k in subject.sizes_in_config(n) if k]
        raise Unproved(seen or (_OTHERWISE if keys else _UNSET))
    weights, keys, axis = proved
    reads = _inputs_leave(subject, op)
    return Finding(
        makes=axis,
        reads=reads is not None,
        weights=_merged(weights, reads or {}),
        config={key: "out" for key in keys},
        **costs.of_making(subject, op, keys, axis, reads is not None),
    )


def _merged(*sides):
    names = dict.fromkeys(name for side in sides for name in side)
    return {
        name: tuple(
            next((a for a in axes if a), None)
            for axes in zip(*(side[name] for side in sides if name in side))
        )
        for name in names
    }


def _outputs_leave(subject, op, output):
    """`(weights' axes, config keys, axis)` if outputs can leave, else None."""
    for axis in dict.fromkeys((output.ndim - 1, 1)):
        size = output.shape[axis] if 0 < axis < output.ndim else 0
        if size < 2:
            continue
        keeps = [*subject.subsets(size), subject.widened(size)]
        for keys in subject.sizes_in_config(size):
            if not keys:
                continue
            try:
                cuts = [_fewer(subject, op, output, axis, k, keys) for k in keeps]
            except Unproved:
                continue
            except Exception:  # not this entry of the config
                continue
            if all(cut == cuts[0] for cut in cuts):
                return cuts[0], keys, axis
    return None


def _fewer(subject, op, output, axis, keep, keys):
    small = subject.copy({key: len(keep) for key in keys}, subject.values)
    axes = cut_weights(op, small, "out", output.shape[axis], keep)
    (got,) = subject.run(small, subject.values)
    check_close(np.take(output, keep, axis), got, output)
    return axes


def _inputs_leave(subject, op):
    """The weights' axes if input channels that are zero can leave, else None."""
    if len(subject.varying) != 1 or len(subject.call.inputs) != 1:
        return None
    try:
        cuts = [_silenced(subject, op, k) for k in subject.subsets(subject.size)]
    except Exception:  # it cannot be built so, or gives something else
        return None
    return cuts[0] if all(cut == cuts[0] for cut in cuts) else None


def _silenced(subject, op, keep):
    (axis,), (x,) = subject.axis, subject.values
    kept = np.isin(np.arange(subject.size), keep)
    silenced = np.where(along(kept, axis, x), x, np.zeros_like(x))
    inputs = subject.kept(keep)
    small = subject.copy({}, inputs)
    axes = cut_weights(op, small, "in", subject.size, keep)
    (wanted,), (got,) = subject.run(op, [silenced]), subject.run(small, inputs)
    check_close(wanted, got, wanted)
    return axes
