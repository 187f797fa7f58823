"""What a kernel's output is added to: the error that is there can be mended with it."""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.graph.calls import op_key
from hh_keras.graph.program import Program, Value
from hh_keras.graph.weights import variables
from hh_keras.surgery.readers import is_linear

_WEAK = 0.05  # of the median scale: what is added through less is let be


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """The other summands of a sum that a kernel's output goes into.

    Attributes:
        norm: path of the BatchNormalization between the kernel and the sum, or None.
        others: `(step, output)` of each other summand.
    """

    norm: str | None
    others: list[tuple[int, int]]

    def missing(self, programs: list, tensors: dict) -> list | None:
        """The others' tensors in two programs, `(original's, small's)` for each.

        None where one is not made yet.
        """
        found = []
        for step, output in self.others:
            pair = [tensors.get(each.steps[step].outputs[output]) for each in programs]
            if any(x is None for x in pair):
                return None
            found.append(tuple(pair))
        return found


def streams(program: Program) -> dict[int, Stream]:
    """The sums that outputs go into, alone or through a BatchNormalization.

    Returns:
        Number of the step whose output it is → `Stream`.
    """
    made: dict[Value, tuple[int, int]] = {}
    read: dict[Value, list[int]] = {value: [-1] for value in program.outputs}
    for number, step in enumerate(program.steps):
        made |= {value: (number, k) for k, value in enumerate(step.outputs)}
        for value in step.reads:
            read.setdefault(value, []).append(number)
    found = {}
    for number, step in enumerate(program.steps):
        value, norm = step.outputs[0], None
        at = read.get(value, [])
        if not is_linear(step.op):
            continue
        if len(at) == 1 and at[0] >= 0:
            op = program.steps[at[0]].op
            if isinstance(op, keras.layers.BatchNormalization):
                norm, value = program.steps[at[0]].path, program.steps[at[0]].outputs[0]
                at = read.get(value, [])
        if len(at) != 1 or at[0] < 0 or not _is_sum(program.steps[at[0]].op):
            continue
        others = [v for v in program.steps[at[0]].reads if v is not value]
        if others and all(v in made for v in others):
            found[number] = Stream(norm, [made[v] for v in others])
    return found


def _is_sum(op: Any) -> bool:
    return isinstance(op, keras.layers.Add) or op_key(type(op)) == "keras.ops.Add"


def through(norm: Any) -> np.ndarray:
    """How much of each channel's error a change before the BatchNormalization mends.

    Returns:
        float64 `(channels,)`, 1 / scale; 0 where the scale is next to nothing.
    """
    own = variables(norm)
    scale = 1 / np.sqrt(np.asarray(own["moving_variance"], "float64") + norm.epsilon)
    if norm.scale:
        scale = scale * np.asarray(own["gamma"], "float64")
    weak = np.abs(scale) < _WEAK * np.median(np.abs(scale))
    return np.where(weak, 0, 1 / np.where(weak, 1, scale))


def difference(pairs: list, keep: np.ndarray | None, axis: int) -> Any:
    """How much more the others are in the original, in the channels that stay.

    Args:
        pairs: `(original's, small's)` tensors.
        keep: bool `(channels,)`, which of the original's the small network has; None
            if all.
        axis: of the channels.

    Returns:
        float32, channels last.
    """
    total = 0.0
    for x, z in pairs:
        x, z = (tf.cast(keras.ops.moveaxis(t, axis, -1), "float32") for t in (x, z))
        if keep is not None:
            x = tf.boolean_mask(x, keep, axis=len(x.shape) - 1)
        total = total + x - z
    return total
