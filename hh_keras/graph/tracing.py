"""Tracing: a model is run once on integers.

Every channel that a layer produces gets an id; each rule says what its layer does to
the array of ids; what has no rule is tried.
"""

import collections
import dataclasses
import warnings
from fractions import Fraction
from typing import Any

import keras

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.ids import AS_BEFORE, IdTensor
from hh_keras.graph.ledger import Ledger
from hh_keras.graph.mapping import Entry, channel_map_of
from hh_keras.graph.measured import count_macs
from hh_keras.graph.opening.inline import ordinary
from hh_keras.graph.penalties import bound_channels
from hh_keras.graph.rules import RuleCall, find_rule
from hh_keras.graph.rules.registry import GRIDS, flattened
from hh_keras.graph.table import some
from hh_keras.graph.trial import try_call


def trace(model: keras.Model, input_shape: Any = None) -> ChannelMap:
    """Finds the channels of a model.

    The model is not changed; it needs no data and no weights. Classes in it are opened
    first, see `inline`. Layers without a rule are tried, and freeze the channels that
    they touch if that proves nothing, with a warning that names them.

    Args:
        model: a Keras 3 model; a subclassed one must have been built.
        input_shape: shape of an input without the batch, for models whose spatial
            size is unknown; a list or dict of shapes for several inputs. The channels
            are the same at any size; what they cost is not.

    Returns:
        A `ChannelMap`.

    Raises:
        ModelError: the model is not built or not a Keras model, its class cannot be
            followed, or `input_shape` does not fit it.

    Examples:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)),
        ...     keras.layers.Conv2D(4, 3, name="a"), keras.layers.Flatten(),
        ...     keras.layers.Dense(10, name="head")])
        >>> channels = hh_keras.trace(model)
        >>> [(g.name, len(g)) for g in channels.groups if g.frozen is None]
        [('a', 4)]
    """
    with calls.collection_paused():
        return _trace(ordinary(model), input_shape)


def _trace(model: Any, input_shape: Any) -> ChannelMap:
    graph = calls.as_graph(model)
    book = Ledger()
    effects = collections.defaultdict(list)  # path → its entries
    entered: dict = {}
    frozen: dict = {}

    def step(path, call, args, kwargs):
        flat = _tensors(args, kwargs)
        shapes = _output_shapes(path, call, flat, args, kwargs)
        rule_call = RuleCall(path, flat, args, kwargs, shapes, book)
        effect = _effect(call.op, rule_call, frozen)
        for ids, reason in bound_channels(call.op, effect):
            book.freeze(ids, f"{path}: {reason}")
        outputs = _outputs(effect, rule_call, call.outputs)
        effects[path].append(Entry(call, rule_call, effect, outputs))
        return outputs

    def enter(path, graph, inputs):
        """All calls of a nested model put the same channels in the same places."""
        first = entered.setdefault(id(graph), inputs)
        for x, before in zip(inputs, first):
            if x is not before and x is not None and before is not None:
                book.tie_tensors(before, x, path)
        return [_ranked_as(t, x) for t, x in zip(graph.inputs, inputs)]

    inputs = [
        _input(book, t, shape)
        for t, shape in zip(graph.inputs, input_shapes(graph, input_shape))
    ]
    outputs = calls.interpret(model, inputs, step, enter)
    for x in outputs:
        book.freeze(x.ids, "model output")
    _warn(frozen)
    return channel_map_of(model, book, effects)


def _input(book, tensor, shape):
    name = tensor._keras_history.operation.name
    x = book.fixed(shape, f"model input '{name}'")
    known = shape and shape[0] is not None
    rows = 1 if not known else Fraction(1, shape[0] or 1)
    if known and None in shape:
        rows = None
    return IdTensor(x.ids, x.shape, rows, tensor.dtype)


def _ranked_as(tensor, x):
    """A nested model adds or drops a last axis of size 1, as Keras lets it."""
    if x is None or x.rank == len(tensor.shape):
        return x
    if x.rank > len(tensor.shape):
        return dataclasses.replace(x, ids=x.ids[..., 0], shape=x.shape[:-1])
    return dataclasses.replace(x, ids=x.ids[..., None], shape=(*x.shape, 1))


def _effect(op, call, frozen):
    """What a call does, by its rule or by trial."""
    _refuse_adapters(call.path, op)
    rule = find_rule(op)
    call = call if rule in GRIDS else flattened(call)
    effect = try_call(op, call) if rule is None else rule(op, call)
    if effect.stopped and (rule is None or _may_multiply(op, rule)):
        effect = _costed(op, call, effect)
    why = effect.stopped or effect.held
    if why and rule is None:
        touched = any((x.ids >= 0).any() for x in call.inputs)
        several = any(s[-1:] != (1,) for s in call.shapes)
        several |= any(x.varying for x in call.inputs)
        if several and (touched or calls.is_layer(op) and op.weights):
            frozen.setdefault((type(op).__name__, why), []).append(
                (call.path, effect.uncounted)
            )
    return effect


def _outputs(effect, call, tensors):
    """The outputs of an effect as a list, their rows and types filled in."""
    outputs, rows = effect.outputs, call.rows
    return [
        IdTensor(x.ids, x.shape, rows if x.rows is AS_BEFORE else x.rows, t.dtype)
        for x, t in zip(outputs if isinstance(outputs, list) else [outputs], tensors)
    ]


def _may_multiply(op, rule):
    """Whether an operation whose rule stops may still cost something."""
    if calls.is_layer(op):
        return any(len(w.shape) > 1 for w in op.weights)
    return rule.__module__.endswith("products")


def _costed(op, call, effect):
    """A stopped call's effect with its multiply-accumulates, as a fixed number."""
    if effect.products or effect.uses:
        return effect
    macs = count_macs(op, call.args, call.kwargs)
    if macs is None:
        return dataclasses.replace(effect, uncounted=True)
    return call.counted(effect, None if macs != macs else macs)


def _refuse_adapters(path, op):
    if not calls.is_layer(op):
        return
    inner = calls.layers_in(op)
    if any([getattr(x, "lora_enabled", False) for x in inner]):
        raise ModelError(
            f"layer '{path}' ({type(op).__name__}) has a LoRA adapter, made for the "
            "kernel's present size. Merge it first (kernel + lora_alpha / lora_rank * "
            "A @ B, in a model without enable_lora), shrink, and adapt afterwards."
        )
    modes = [m for m in [getattr(x, "quantization_mode", None) for x in inner] if m]
    if modes:
        raise ModelError(
            f"layer '{path}' ({type(op).__name__}) is quantised "
            f"({modes[0]}): its weights are integers of the present size. "
            "Shrink the float model and quantise afterwards."
        )


def _warn(frozen):
    for (kind, reason), places in frozen.items():
        names = some([f"'{path}'" for path, _ in places])
        uncounted = any(uncounted for _, uncounted in places)
        cost = ", and their own multiply-accumulates are not known" if uncounted else ""
        warnings.warn(
            f"{names} ({kind}): {reason}. The channels that they touch are frozen"
            f"{cost}. hh_keras.register_rule teaches a layer in a few lines.",
            stacklevel=4,
        )


def _tensors(args, kwargs):
    if not kwargs:  # nearly always one tensor, or a list of tensors
        flat = args[0] if len(args) == 1 and type(args[0]) is list else args
        if all([type(x) is IdTensor for x in flat]):
            return list(flat)
    return [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, IdTensor)]


def input_shapes(graph: Any, input_shape: Any) -> list[tuple]:
    """Shapes of a graph's inputs with the batch, open sizes as `input_shape` says.

    Args:
        graph: as `as_graph` gives it.
        input_shape: as of `trace`; of several inputs a list, or a dict by their names.
    """
    own = [tuple(t.shape) for t in graph.inputs]
    if input_shape is None:
        return own
    if isinstance(input_shape, dict):
        given = [input_shape[t._keras_history.operation.name] for t in graph.inputs]
    elif len(own) > 1 or (input_shape and isinstance(input_shape[0], (tuple, list))):
        given = list(input_shape)
    else:
        given = [input_shape]
    for mine, yours in zip(own, given):
        fits = len(mine) == len(yours) + 1 and all(
            m in (None, y) for m, y in zip(mine[1:], yours)
        )
        if not fits:
            raise ModelError(
                f"input_shape {tuple(yours)} does not fit the model's input "
                f"{mine[1:]} (without the batch)."
            )
    return [(None, *yours) for yours in given]


def _output_shapes(path, call, flat, args, kwargs):
    """Shapes of a call's outputs, by the sizes that its inputs really have."""
    own = [tuple(t.shape) for t in call.inputs]
    if len(own) == len(flat) and all(x.shape[1:] == s[1:] for x, s in zip(flat, own)):
        return [tuple(t.shape) for t in call.outputs]

    def symbolic(x):
        return keras.KerasTensor(x.shape, x.dtype) if isinstance(x, IdTensor) else x

    args, kwargs = keras.tree.map_structure(symbolic, (args, kwargs))
    try:
        spec = call.op.compute_output_spec(*args, **kwargs)
    except Exception as error:  # a layer may raise anything about sizes
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"layer '{path}' ({type(call.op).__name__}) does not take inputs of shape "
            f"{', '.join(str(x.shape) for x in flat)}: {reason}"
        ) from error
    return [tuple(t.shape) for t in keras.tree.flatten(spec)]
