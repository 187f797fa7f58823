"""How much of what a network puts out its smaller version keeps.

Both run side by side; of each kernel's outputs, and of the networks' own, it is
`1 − E‖y − y'‖² / E‖y − E y‖²`: 1 if nothing is lost, 0 if the mean would do as well.
What makes an image of an image is measured by what it changes, too: most of a
denoiser's output is its input, most of a larger image is what interpolation gives.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from hh_keras.export.float32 import computing_in_float32
from hh_keras.graph import calls
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.compiling import compiled
from hh_keras.graph.heads import ends_in
from hh_keras.graph.inference import infer
from hh_keras.search.distance import as_logits

_AT_ONCE = 16  # examples, of which all kernels' outputs are in memory


@dataclasses.dataclass(frozen=True)
class Kept:
    """What a smaller network kept, before any training.

    Attributes:
        outputs: name of an output → share of it, at most 1; of probabilities, of the
            logits that they come from. NaN where one value was seen, which tells none.
        answers: name of an output → share of the examples with the same answer; only
            of outputs that are answers: `(batch, classes)`, or made by softmax or
            sigmoid.
        layers: name of a layer with a kernel → share of its outputs, of the channels
            that both networks have; in network order.
        examples: how many it was measured on.
        held_out: whether nothing was learnt from these.

    Examples:
        >>> found = hh_keras.shrink(
        ...     model, budget=budget, weights="inherit", calibration=images, verbose=0
        ... )
        >>> found.kept.examples, list(found.kept.layers)
        (3, ['conv_1', 'conv_2', 'logits'])
        >>> 0 < found.kept.share <= 1  # of the variance of the outputs
        True
    """

    outputs: dict[str, float]
    answers: dict[str, float]
    layers: dict[str, float]
    examples: int
    held_out: bool

    @property
    def share(self) -> float:
        """Of the output that kept least."""
        return min(self.outputs.values(), default=float("nan"))

    @property
    def agreement(self) -> float | None:
        """Of the output that agrees least; None if there are no answers."""
        return min(self.answers.values(), default=None)

    @property
    def worst(self) -> str | None:
        """The layer that kept least, of those that tell."""
        told = {name: share for name, share in self.layers.items() if share == share}
        return min(told, key=told.__getitem__, default=None)


def measuring(
    model: keras.Model,
    small: keras.Model,
    channel_map: ChannelMap,
    keep: np.ndarray,
    batches: Sequence,
    held_out: bool,
    most: int = 256,
    layers: bool = True,
) -> Callable[[], Kept]:
    """What runs both networks, in inference mode and in float32, on the same inputs.

    It is compiled once, to be called after each change of the small one's weights.

    Args:
        model: the original, as it was traced.
        small: what was made of it.
        channel_map: of the original.
        keep: bool `(channel_map.size,)`, the channels that small has.
        batches: list of inputs, flat lists or what the model takes.
        held_out: whether nothing was learnt from these; it is noted.
        most: examples to run.
        layers: whether to look at each kernel's outputs, too; it takes longer.
    """
    at_once, keep = calls.as_graph(model).inputs[0].shape[0], channel_map.whole(keep)
    run = _runner(model, small, channel_map, keep, layers)

    def measure() -> Kept:
        of_layers: dict[str, list] = {}
        outputs: dict[str, list] = {}
        changes: dict[str, list] = {}
        right: dict[str, float] = {}
        examples = 0
        with computing_in_float32(model), computing_in_float32(small):
            for flat in _chunks(batches, most, at_once):
                examples += len(flat[0])
                *found, hits = run([tf.convert_to_tensor(x) for x in flat])
                for into, each in zip((of_layers, outputs, changes), found):
                    for name, sums in each.items():
                        before = into.get(name, [0.0] * len(sums))
                        into[name] = [a + b.numpy() for a, b in zip(before, sums)]
                for name, hit in hits.items():
                    right[name] = right.get(name, 0.0) + float(hit)
        shares = {name: _share(*sums) for name, sums in outputs.items()}
        for name, sums in changes.items():
            shares[name] = min(shares[name], _share(*sums))
        order = [path for path, _ in calls.leaf_operations(model) if path in of_layers]
        return Kept(
            shares,
            {name: hits / examples for name, hits in right.items()},
            {path: _share(*of_layers[path]) for path in order},
            examples,
            held_out,
        )

    return measure


def _chunks(batches, most, at_once):
    """Parts of the batches that fit into memory with all that is made of them."""
    if at_once:  # batches have one size
        yield from batches[: max(1, most // at_once)]
        return
    left = most
    for batch in batches:
        flat = keras.tree.flatten(batch)
        for start in range(0, len(flat[0]), _AT_ONCE):
            size = min(_AT_ONCE, left)
            if not size:
                return
            part = [x[start : start + size] for x in flat]
            left -= len(part[0])
            yield part


def _share(error, square, total, count):
    if count < 2:  # nothing to tell a share of
        return math.nan
    spread = square - float((total**2).sum()) / count
    if spread <= 1e-12 * max(square, 1e-30):  # it is constant
        return 1.0 if error <= 1e-12 * max(square, 1e-30) else 0.0
    return float(1 - error / spread)


def _runner(model, small, channel_map, keep, layers):
    graph = calls.as_graph(model)
    ends = dict(zip(graph.output_names, map(ends_in, graph.outputs)))
    paths = [path for path, _ in calls.leaf_operations(model)] if layers else []
    watched = {path for path in paths if channel_map.sites[path].uses}

    def outputs_of(network, inputs):
        seen: dict[str, list] = {}

        def step(path, call, args, kwargs):
            outputs = keras.tree.flatten(infer(call.op, args, kwargs))
            if path in watched:
                seen.setdefault(path, []).append((call.op, outputs[0]))
            return outputs

        return calls.interpret(network, inputs, step), seen

    def run(inputs):
        whole, layers = outputs_of(model, inputs)
        its, its_layers = outputs_of(small, inputs)
        found: dict[str, list] = {}
        for path, mine in layers.items():
            pairs = [
                _common(op, y, other, channel_map.outputs.get(path), keep)
                for (op, y), (_, other) in zip(mine, its_layers.get(path, ()))
            ]
            each = [_sums(*pair) for pair in pairs if pair]
            if each:  # calls of one layer are one
                found[path] = [sum(parts) for parts in zip(*each)]
        return found, *_of_outputs(ends, whole, its, inputs)

    return compiled(model, run)


def _of_outputs(ends, whole, its, inputs):
    """Sums of outputs and of what they change of the inputs, and answers in common."""
    found, changes, hits = {}, {}, {}
    for (name, kind), y, other in zip(ends.items(), whole, its):
        if not y.dtype.is_floating:
            continue
        y, other = (tf.cast(x, "float32") for x in (y, other))
        found[name] = _sums(as_logits(y, kind), as_logits(other, kind), -1)
        came = [x for x in (_as_it_came(x, y) for x in inputs) if x is not None]
        if came and kind is None:
            changes[name] = _sums(y - came[0], other - came[0], -1)
        same = _same_answers(y, other, kind)
        if same is not None:
            hits[name] = same
    return found, changes, hits


def _as_it_came(x, y):
    """What an output would be if nothing were done; None if it is no image of x."""
    if len(x.shape) < 3 or len(x.shape) != len(y.shape) or x.shape[-1] != y.shape[-1]:
        return None
    x = tf.cast(x, "float32")
    if x.shape[1:] == y.shape[1:]:
        return x
    sizes = [*x.shape[1:-1], *y.shape[1:-1]]
    if len(sizes) != 4 or None in sizes:
        return None
    (height, width), times = y.shape[1:-1], y.shape[1] // x.shape[1]
    larger = (height, width) == (times * x.shape[1], times * x.shape[2])
    return tf.image.resize(x, (height, width), "bicubic") if larger else None


def _common(op, y, other, ids, keep):
    """The channels that both have, and their axis; None if it is not known."""
    differ = [a for a, (n, m) in enumerate(zip(y.shape, other.shape)) if n != m]
    first = getattr(op, "data_format", None) == "channels_first"
    axis = 1 if first and len(y.shape) > 2 else len(y.shape) - 1
    if differ:
        axis = differ[0]
        if differ[1:] or ids is None or len(ids) != y.shape[axis]:
            return None
        stay = np.flatnonzero(keep[ids])
        if len(stay) != other.shape[axis]:
            return None
        y = tf.gather(y, stay, axis=axis)
    return tf.cast(y, "float32"), tf.cast(other, "float32"), axis


def _sums(y, other, axis):
    """Squared errors, squares about zero, sums and counts, from float32 values.

    Squares are taken about the means of the batch, so that they lose no digits.
    """
    axis %= len(y.shape)
    rest = [a for a in range(len(y.shape)) if a != axis]
    mean, variance = tf.nn.moments(y, rest)
    count = tf.cast(tf.size(y) / tf.shape(y)[axis], "float64")
    mean, variance = tf.cast(mean, "float64"), tf.cast(variance, "float64")
    error = tf.cast(tf.reduce_sum((y - other) ** 2, rest), "float64")
    square = count * tf.reduce_sum(variance + mean**2)
    return tf.reduce_sum(error), square, count * mean, count


def _same_answers(y, other, kind):
    """How many examples have the same answer; None if outputs are no answers."""
    if kind == "sigmoid":
        same = (y > 0.5) == (other > 0.5)
        if len(y.shape) == 2:  # all labels of an image
            same = tf.reduce_all(same, -1)
    elif kind == "softmax" or (len(y.shape) == 2 and y.shape[-1] != 1):
        same = tf.argmax(y, -1) == tf.argmax(other, -1)
    else:
        return None
    same = tf.reshape(tf.cast(same, "float64"), (tf.shape(y)[0], -1))
    return tf.reduce_sum(tf.reduce_mean(same, 1))
