"""What the layers of a smaller network can learn from those of its original.

A network that was made smaller keeps channels of the original: its features are some of
the original's. Which ones, the features themselves tell, as every channel that was kept
goes up and down with its original. So neither plan nor names of channels are needed,
and features of networks that have nothing in common are left out.
"""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.graph.calls import as_graph, calls
from hh_keras.graph.heads import ends_in
from hh_keras.training.replicas import chiefs

_LEAST = 0.5  # correlation from which on a channel counts as the same


@dataclasses.dataclass(frozen=True, eq=False)
class Match:
    """Features of a smaller network and the same ones of its original.

    Attributes:
        student, teacher: tensors `(batch, ..., channels)` of the two graphs.
        channels: int `(n,)`, for each of the student's channels the teacher's; None if
            they are the same.
        weights: float32 `(n,)`, 1 for channels that are the same, 0 for those that are
            not; None if all are.
        spread: the teacher's variance, see `variance`; None takes that of each batch.
    """

    student: Any
    teacher: Any
    channels: np.ndarray | None = None
    weights: np.ndarray | None = None
    spread: float | None = None

    def error(self, ours: Any, theirs: Any) -> Any:
        """Squared error in parts of the teacher's variance, float32 `(batch,)`.

        Logits are compared without their mean, on which no probability depends.
        """
        ours = _comparable(ours, self.student)
        theirs = _comparable(theirs, self.teacher)
        if self.channels is not None:
            theirs = tf.gather(theirs, self.channels, axis=-1)
        weights = 1.0 if self.weights is None else self.weights
        axes = tuple(range(1, len(theirs.shape)))
        squares = tf.reduce_mean(weights * tf.square(ours - theirs), axes)
        spread = self.spread
        if spread is None:
            spread = tf.reduce_mean(weights * tf.square(theirs - _mean(theirs)))
        return squares / tf.maximum(spread, 1e-12)

    def variance(self, theirs: Any) -> float:
        """The teacher's variance over examples and places, in all of its channels."""
        theirs = _comparable(theirs, self.teacher)
        return float(tf.reduce_mean(tf.square(theirs - _mean(theirs))))


def _comparable(x, tensor):
    """Features as they are, probabilities as the logits that they come from."""
    x = tf.cast(x, tf.float32)
    kind = ends_in(tensor)
    if kind:
        x = tf.clip_by_value(x, 1e-7, 1 - 1e-7)
        x = tf.math.log(x) - (tf.math.log1p(-x) if kind == "sigmoid" else 0.0)
    return x - tf.reduce_mean(x, -1, keepdims=True) if kind == "softmax" else x


def _mean(x):
    """Of a channel over examples and places; of logits over the classes."""
    if len(x.shape) == 2 and x.shape[-1] > 1:
        return tf.reduce_mean(x, -1, keepdims=True)
    return tf.reduce_mean(x, tuple(range(len(x.shape) - 1)), keepdims=True)


def block_ends(model: keras.Model) -> dict[str, Any]:
    """Features at the ends of a network's blocks, layer name → tensor.

    What branches are merged into, and what is left before the resolution falls. Of
    further calls of a layer, the name is `layer@1` and so on.
    """
    made = list(calls(model))
    read: dict[int, list] = {}
    for call in made:
        for tensor in call.inputs:
            read.setdefault(id(tensor), []).append(call)
    found: dict = {}
    times: collections.Counter = collections.Counter()
    for call in made:
        x, name = call.outputs[0], call.op.name
        times[name] += 1
        if len(call.outputs) != 1 or len(x.shape) < 3:
            continue
        merges = len({id(t) for t in call.inputs if len(t.shape) == len(x.shape)}) > 1
        falls = any(_smaller(each, x) for each in read.get(id(x), ()))
        if merges or falls:
            found[f"{name}@{times[name] - 1}" if times[name] > 1 else name] = x
    return found


def _smaller(call, x):
    """Whether what a call makes of a tensor has fewer places."""
    y = call.outputs[0]
    if len(y.shape) != len(x.shape):
        return True
    pairs = zip(y.shape[1:-1], x.shape[1:-1])
    return any(None not in pair and pair[0] < 0.75 * pair[1] for pair in pairs)


def matches(
    student: keras.Model, teacher: keras.Model, batches: Iterable
) -> list[Match]:
    """Finds the outputs, and features at the ends of blocks that both networks have.

    Args:
        student: a network that was made from the teacher, with inherited weights.
        teacher: its original.
        batches: of images, some of those to train on.

    Returns:
        List of `Match`, first those of the outputs; without batches, these alone.
    """
    ours, theirs = block_ends(student), block_ends(teacher)
    pairs = [(ours[name], theirs[name]) for name in ours if name in theirs]
    pairs = [(s, t) for s, t in pairs if s.shape[1:-1] == t.shape[1:-1]]
    outputs = [Match(*pair) for pair in zip(student.outputs, teacher.outputs)]
    if not pairs:
        return outputs
    s, t = (list(tensors) for tensors in zip(*pairs))
    both = keras.Model(images_of(student), s), keras.Model(images_of(teacher), t)
    sums: list = [_Sums() for _ in pairs]
    for images in batches:
        values = (keras.tree.flatten(each(images, training=False)) for each in both)
        for total, s, t in zip(sums, *values):
            total.add(_rows(s), _rows(t))
    found = [total.match(*pair) for total, pair in zip(sums, pairs) if total.count]
    return [*outputs, *(match for match in found if match)]


def spread_over(
    found: Sequence[Match], teacher: keras.Model, batches: Iterable
) -> list[Match]:
    """Gives outputs of one number the teacher's variance over several batches.

    A batch may hold few examples, or one, over which a number hardly varies.

    Args:
        found: of outputs, in the order of the teacher's; others stay as they are.
        teacher: the original.
        batches: of images; without any, all stay as they are.
    """
    single = [k for k, match in enumerate(found) if _is_number(match.teacher)]
    batches = list(batches) if single else []
    if not batches:
        return list(found)
    answers = [keras.tree.flatten(teacher(x, training=False)) for x in batches]
    spreads = {
        k: found[k].variance(tf.concat([each[k] for each in answers], 0))
        for k in single
    }
    agreed = chiefs(np.array(list(spreads.values()), "float32"))
    known = dict(zip(spreads, map(float, agreed)))
    return [
        dataclasses.replace(match, spread=known[k]) if k in known else match
        for k, match in enumerate(found)
    ]


def _is_number(tensor):
    several = any(size != 1 for size in tensor.shape[1:])
    return not several and "float" in tensor.dtype


def images_of(model: keras.Model) -> Any:
    """A model's inputs as it takes them: one, a list, or a dict."""
    struct = as_graph(model)._inputs_struct
    alone = isinstance(struct, (list, tuple)) and len(struct) == 1
    return struct[0] if alone else struct


def _rows(x):
    x = np.asarray(tf.cast(x, tf.float32), "float64")
    return x.reshape(-1, x.shape[-1])


class _Sums:
    """First and second moments of two sets of features."""

    def __init__(self):
        self.count = self.s = self.t = self.ss = self.tt = self.st = 0.0

    def add(self, s, t):
        self.count += len(s)
        self.s, self.t = self.s + s.sum(0), self.t + t.sum(0)
        self.ss, self.tt = self.ss + (s * s).sum(0), self.tt + (t * t).sum(0)
        self.st = self.st + s.T @ t

    def match(self, student, teacher):
        n = self.count
        spread = self.tt / n - (self.t / n) ** 2
        covariance = self.st / n - np.outer(self.s, self.t) / n**2
        power = np.outer(self.ss / n - (self.s / n) ** 2, spread)
        correlation = covariance / np.sqrt(np.maximum(power, 1e-24))
        channels = chiefs(correlation.argmax(1).astype("float32")).astype("int32")
        same = chiefs(correlation.max(1)) > _LEAST
        if same.mean() < 0.5:
            return None
        return Match(student, teacher, channels, same.astype("float32"))
