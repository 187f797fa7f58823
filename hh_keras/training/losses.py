"""Losses of one output or of several: a number for every example.

    f(labels, outputs, weights) → {"loss": (batch,), "NAME_loss": (batch,), ...}

"loss" is what is learnt: the sum over the outputs, each times its weight. "NAME_loss"
is an output's own, as Keras has it: with sample weights, without the output's weight.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from hh_keras.errors import HHError
from hh_keras.graph.heads import (
    ends_linear,
    known_outputs,
    output_names,
    structured,
)
from hh_keras.suggestions import did_you_mean

_OF_PROBABILITIES = (
    "ce", "crossentropy", "binary_crossentropy", "categorical_crossentropy",
    "sparse_categorical_crossentropy", "binary_focal_crossentropy",
    "categorical_focal_crossentropy",
)  # fmt: skip


def losses(loss: Any, model: keras.Model, weights: Any = None) -> Callable:
    """Makes of any kind of loss a function of a whole batch.

    Args:
        loss: `f(labels, outputs)` that returns `(batch,)`, or a mapping of output name
            to that; or what `model.compile` takes: a Keras loss or its name (for every
            output), a list or dict of them, one for each output. None leaves an output
            alone.
        model: whose outputs, see `hh_keras.graph.heads.output_names`.
        weights: a number for each output's loss, a list or dict; 1 where none is given.

    Returns:
        `f(labels, outputs, sample_weight=None)`, see above; outputs are flat, the
        model's own and whatever is behind them. Labels are in the structure of the
        outputs, a dict by their names, or a sequence in their order. `sample_weight` is
        `(batch,)`, or in the outputs' structure, and multiplies losses.

    Raises:
        HHError: an output without a loss, or a loss for none; of the function: labels
            that lack an output, or a loss that is no number for each example.
    """
    names = output_names(model)
    scale = {**dict.fromkeys(names, 1.0), **by_output("weights", weights, names)}
    whole = callable(loss) and not of_keras(loss)
    own = {} if whole else _each(loss, model, names)

    def found(labels, outputs, sample_weight=None):
        outputs = list(outputs)[: len(names)]
        if not whole:
            parts = {}
            given = labelled(labels, names, [n for n in names if own[n] is not None])
            weighed = weight_of(sample_weight, names)
            for name, output in zip(names, outputs):
                if own[name] is not None:
                    values = own[name](given[name], output)
                    parts[name] = _per_example(values, weighed[name], name)
            return _summed(parts, scale, names)
        values = loss(labels, structured(model, outputs))
        if isinstance(values, Mapping):
            _check_names("the task's loss gives values for", values, names)
            weighed = weight_of(sample_weight, names)
            parts = {
                name: _per_example(values[name], weighed[name], name)
                for name in names
                if values[name] is not None
            }
            return _summed(parts, scale, names)
        if weights is not None:
            raise HHError(
                "weights of losses are for losses by output: have the task's loss "
                f"return a dict with {_list(names)}, or leave the weights out."
            )
        flat = [] if sample_weight is None else keras.tree.flatten(sample_weight)
        if len(flat) > 1:
            raise HHError(
                f"sample weights of {len(flat)} outputs need a loss for each: have the "
                f"task's loss return a dict with {_list(names)}."
            )
        return {"loss": _per_example(values, flat[0] if flat else None, "the whole")}

    return found


def of_keras(loss: Any) -> bool:
    """Whether a loss is one of Keras' own, that is for one output."""
    if isinstance(loss, (str, keras.losses.Loss)):
        return True
    module = getattr(loss, "__module__", None) or ""
    return callable(loss) and module.split(".")[0] == "keras"


def _summed(parts, scale, names):
    """The total, and each output's own if there are several."""
    if not parts:
        raise HHError(f"none of the outputs ({_list(names)}) has a loss: give one.")
    total = sum(
        values if scale[name] == 1 else scale[name] * values
        for name, values in parts.items()
    )
    if len(names) == 1:
        return {"loss": total}
    return {"loss": total, **{f"{name}_loss": v for name, v in parts.items()}}


def _each(loss, model, names):
    """Output name → `f(labels, output)`; None for outputs that are left alone."""
    if loss is None:
        raise HHError(f"no loss for the outputs ({_list(names)}): give one.")
    if isinstance(loss, (Mapping, list, tuple)):
        by_name = by_output("losses", loss, names)
        _check_names("there are losses for", by_name, names)
    else:
        by_name = dict.fromkeys(names, loss)
    tensors = dict(zip(names, known_outputs(model)))
    return {n: _unreduced(by_name[n], n, tensors[n]) for n in names}


def _check_names(what, values, names):
    unknown = [name for name in values if name not in names]
    if unknown:
        raise HHError(
            f"{what} {unknown[0]!r}, which is no output of the model; its outputs are "
            f"{_list(names)}.{did_you_mean(str(unknown[0]), names)}"
        )
    missing = [name for name in names if name not in values]
    if missing:
        raise HHError(
            f"output {missing[0]!r} has no loss: give it one, or None to leave it "
            f"alone; {what} {_list(values)}."
        )


def by_output(what: str, values: Any, names: Sequence[str]) -> dict:
    """Values for outputs, a list or dict, by the outputs' names.

    Args:
        what: the values are, for messages.
        values: None, one, a list or a dict.
        names: of the outputs.

    Raises:
        HHError: other names, or another number of them.
    """
    if values is None:
        return {}
    if not isinstance(values, (Mapping, list, tuple)):
        values = [values]
    found = flat_by_name(values, names)
    if isinstance(values, Mapping):
        unknown = [name for name in found if name not in names]
        if unknown:
            raise HHError(
                f"{what}: the model has no output {unknown[0]!r}; its outputs are "
                f"{_list(names)}.{did_you_mean(str(unknown[0]), names)}"
            )
    elif len(found) != len(names):
        raise HHError(
            f"{what}: there are {len(found)} for {len(names)} outputs "
            f"({_list(names)}); give one for each."
        )
    return found


def flat_by_name(values: Any, names: Sequence[str]) -> dict:
    """A structure's values by their names, or by the outputs' in their order.

    Args:
        values: a dict, nested or not: its keys, "outer/inner", are names; or a
            sequence, or a single value.
        names: of the outputs.
    """
    if isinstance(values, Mapping):
        pairs = keras.tree.flatten_with_path(dict(values))
        return {"/".join(map(str, path)): value for path, value in pairs}
    flat = keras.tree.flatten(values)
    rest = (str(place) for place in range(len(names), len(flat)))
    return dict(zip([*names, *rest], flat))


def labelled(labels: Any, names: Sequence[str], wanted: Sequence[str]) -> dict:
    """Labels by the outputs' names; None where an output has none.

    Args:
        labels: in the structure of the outputs, a dict by their names, or a sequence
            in their order, of all of them or of those that are wanted.
        names: of the outputs.
        wanted: those that must have labels.

    Raises:
        HHError: one of them has none.
    """
    if not isinstance(labels, Mapping):
        flat = keras.tree.flatten(labels)
        if len(flat) not in (len(names), len(wanted)):
            raise HHError(
                f"labels are {len(flat)} tensors, the outputs with a loss "
                f"{len(wanted)} ({_list(wanted)}): give labels as a dict by these "
                "names, or as a tuple in this order."
            )
        order = names if len(flat) == len(names) else wanted
        found = dict(zip(order, flat))
    else:
        found = flat_by_name(labels, names)
        missing = [name for name in wanted if name not in found]
        if missing and len(names) == len(found) == 1:  # nothing to confuse it with
            found = dict(zip(names, found.values()))
        elif missing:
            raise HHError(
                f"the labels lack output {missing[0]!r}: there are some for "
                f"{_list(found)}, and outputs with a loss are {_list(wanted)}."
            )
    return {name: found.get(name) for name in names}


def weight_of(sample_weight: Any, names: Sequence[str]) -> dict:
    """Sample weights by the outputs' names; None where there are none."""
    if sample_weight is None:
        return dict.fromkeys(names)
    flat = keras.tree.flatten(sample_weight)
    if len(flat) == 1 and not isinstance(sample_weight, Mapping):
        return dict.fromkeys(names, flat[0])
    return {**dict.fromkeys(names), **by_output("sample weights", sample_weight, names)}


def _per_example(values, weight, name):
    """float32 `(batch,)`: the mean of what a loss says of an example."""
    values = tf.cast(tf.convert_to_tensor(values), tf.float32)
    rank = values.shape.rank
    if rank is None:
        raise HHError(
            f"the loss of output {name!r} has no known rank: give the labels a shape, "
            "such as tf.ensure_shape(labels, [None, 10])."
        )
    if not rank:
        raise HHError(
            f"the loss of output {name!r} is one number for a whole batch; it must be "
            "one for each example, (batch,): leave out the mean over axis 0, so that "
            "every example counts the same."
        )
    if weight is not None:
        weight = tf.cast(weight, tf.float32)
        if weight.shape.rank == rank + 1 and weight.shape[-1] == 1:
            weight = weight[..., 0]
        for _ in range(rank - weight.shape.rank):
            weight = weight[..., tf.newaxis]
        if weight.shape.rank != rank:
            raise HHError(
                f"sample weights of shape {tuple(weight.shape)} do not fit losses of "
                f"shape {tuple(values.shape)} of output {name!r}: give (batch,)."
            )
        values = values * weight
    if rank > 1:
        values = tf.reduce_mean(values, list(range(1, rank)))
    return values


def _unreduced(loss, name, output):
    """A Keras loss of one output as a function that reduces nothing."""
    if loss is None:
        return None
    by_shapes = isinstance(loss, str) and loss.lower() in ("ce", "crossentropy")
    if not by_shapes:
        try:
            loss = keras.losses.get(loss)
        except (ValueError, TypeError) as error:
            raise HHError(f"output {name!r}: Keras knows no loss {loss!r}.") from error
    _warn_of_logits(loss, name, output)
    if by_shapes:
        loss = _crossentropy(output)
    if not isinstance(loss, keras.losses.Loss):
        loss = _OfFunction(loss)
    if getattr(loss, "ignore_class", None) is not None:
        raise HHError(
            f"the loss of output {name!r} has ignore_class={loss.ignore_class}, with "
            "which examples count by how much of them is not ignored; every example "
            "counts the same here: give sample weights of 0 there instead."
        )
    if loss.reduction in ("sum", "mean_with_sample_weight"):
        raise HHError(
            f"the loss of output {name!r} has reduction={loss.reduction!r}, with which "
            "examples of some batches count more than others; every example counts "
            "the same here: use 'sum_over_batch_size'."
        )

    def call(labels, output):
        if getattr(output, "_keras_mask", None) is not None:
            raise HHError(
                f"output {name!r} is masked, so its loss is a mean over what is not, "
                "and examples do not count the same: give sample weights instead, "
                "(batch, steps)."
            )
        dtype = loss.dtype
        pair = keras.tree.map_structure(
            lambda x: keras.ops.convert_to_tensor(x, dtype=dtype), (labels, output)
        )
        return loss.call(*pair)

    return call


class _OfFunction(keras.losses.Loss):
    """A function as `model.compile` takes it: of floats, labels shaped as outputs."""

    def __init__(self, function):
        super().__init__(name=getattr(function, "__name__", "loss"))
        self.function = function

    def call(self, labels, outputs):
        return self.function(*_same_rank(labels, outputs))


def _same_rank(labels, outputs):
    """`(batch,)` beside `(batch, 1)` would broadcast to each with every other."""
    more = len(labels.shape) - len(outputs.shape)
    if more == 1 and labels.shape[-1] == 1:
        if len(outputs.shape) == 1:
            return labels, keras.ops.expand_dims(outputs, -1)
        return keras.ops.squeeze(labels, -1), outputs
    if more == -1 and outputs.shape[-1] == 1:
        if len(labels.shape) == 1:
            return keras.ops.expand_dims(labels, -1), outputs
        return labels, keras.ops.squeeze(outputs, -1)
    return labels, outputs


def _warn_of_logits(loss, name, output):
    """Cross-entropy of probabilities, given any numbers, learns next to nothing."""
    own = loss if isinstance(loss, str) else getattr(loss, "name", None)
    own = own or getattr(loss, "__name__", "")
    told = getattr(loss, "from_logits", False)
    if own in _OF_PROBABILITIES and not told and ends_linear(output):
        warnings.warn(
            f"loss {own!r} expects probabilities, but output {name!r} is made without "
            "an activation: give softmax or sigmoid to its layer, or from_logits=True "
            "to the loss, such as keras.losses.SparseCategoricalCrossentropy("
            "from_logits=True).",
            stacklevel=2,
        )


def _crossentropy(output):
    """As `model.compile` has "crossentropy": by the shapes of labels and output."""

    def call(labels, outputs):
        fewer = len(labels.shape) < len(outputs.shape)
        units = output.shape[-1]
        if units == 1:
            return keras.losses.binary_crossentropy(labels, outputs)
        if fewer or (labels.shape[-1] == 1 and units > 1):
            return keras.losses.sparse_categorical_crossentropy(labels, outputs)
        return keras.losses.categorical_crossentropy(labels, outputs)

    return call


def check(
    found: Callable, model: keras.Model, labels: Any, sample_weight: Any, what: str
) -> list[str]:
    """Tries losses on what batches look like; nothing is computed.

    Args:
        found: of `losses`.
        model: whose outputs.
        labels, sample_weight: structures of `tf.TensorSpec`; None for no weights.
        what: "training" or "validation", for the message.

    Returns:
        The names of the losses, "loss" first.

    Raises:
        HHError: the losses cannot be computed; it says why.
    """
    tensors = known_outputs(model)
    outputs = [
        tf.TensorSpec(t.shape, "float32" if "float" in t.dtype else t.dtype)
        for t in tensors
    ]
    names: list[str] = []

    def trace(labels, outputs, *weight):
        parts = found(labels, outputs, *weight)
        names.extend(parts)
        return parts

    weight = () if sample_weight is None else (sample_weight,)
    try:
        tf.function(trace, autograph=False).get_concrete_function(
            labels, outputs, *weight
        )
    except HHError as error:
        raise type(error)(f"{what} data: {error}") from error
    except Exception as error:  # a user's loss may raise anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise HHError(
            f"the loss cannot be computed on the {what} data: "
            f"{' '.join(lines[-1:])[:200]} ({type(error).__name__}). Labels are "
            f"{_shapes(labels)}, outputs {_shapes(outputs)}."
        ) from error
    return names


def _shapes(specs):
    return ", ".join(str(tuple(spec.shape)) for spec in keras.tree.flatten(specs))


def _list(names):
    return ", ".join(map(str, names))
