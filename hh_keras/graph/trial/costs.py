"""What a tried layer costs, and in proportion to which channels."""

from typing import Any

import keras
import numpy as np

from hh_keras.graph.ids import IdTensor
from hh_keras.graph.measured import count_macs
from hh_keras.graph.trial.subject import Subject


def of_passing(subject: Subject, op: Any, keys: tuple) -> dict:
    """`macs` and `scales_with` of a layer that passes channels on."""
    whole = _count(subject, op)
    if not whole or whole != whole:
        return {"macs": whole}
    keep = subject.subsets(subject.size)[-1]
    small = subject.copy({key: len(keep) for key in keys}, subject.kept(keep))
    if _proportional(_count(subject, small, keep), keep, whole, subject.size):
        return {"macs": whole, "scales_with": ("in",)}
    return {"macs": None}


def of_making(subject: Subject, op: Any, keys: tuple, axis: int, reads: bool) -> dict:
    """The same of a layer that makes channels, and of its inputs if they can leave."""
    whole = _count(subject, op)
    if not whole or whole != whole:
        return {"macs": whole}
    size = subject.call.shape[axis]
    keep = subject.subsets(size)[-1]
    small = subject.copy({key: len(keep) for key in keys}, subject.values)
    if not _proportional(_count(subject, small), keep, whole, size):
        return {"macs": None}
    if not reads:
        return {"macs": whole, "scales_with": ("out",)}
    keep = subject.subsets(subject.size)[-1]
    small = subject.copy({}, subject.kept(keep))
    if not _proportional(_count(subject, small, keep), keep, whole, subject.size):
        return {"macs": None}
    return {"macs": whole, "scales_with": ("in", "out")}


def _proportional(part, keep, whole, size):
    return part is not None and part * size == whole * len(keep)


def _count(subject, op, keep=None):
    """Multiply-accumulates of a call, on the kept channels."""
    call = subject.call
    if keep is None:
        return count_macs(op, call.args, call.kwargs)
    fewer = {
        id(call.inputs[i]): _narrowed(call.inputs[i], subject.axis[i], len(keep))
        for i in subject.varying
    }
    args, kwargs = keras.tree.map_structure(
        lambda x: fewer.get(id(x), x), (call.args, call.kwargs)
    )
    return count_macs(op, args, kwargs)


def _narrowed(x, axis, size):
    """A tensor with fewer channels; only its shape counts."""
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    return IdTensor(np.zeros((1,) * x.rank, int), shape, x.rows, x.dtype)
