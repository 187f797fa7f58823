"""Opening classes: a model as the graph of the ordinary layers inside it.

The model is followed twice, with two batch sizes, once in training and once not.
What is the same both times is the graph; a number that grows along with the batch is
the batch; whatever else differs depends on something that no graph can know, and the
class in which it happens stays closed. The steps are then made again with copies of
the layers, and in the end both models must give the same numbers.
"""

import collections
import dataclasses
import warnings
from typing import Any

import keras
from keras.src.models.functional import Functional

from hh_keras.errors import ModelError
from hh_keras.graph import calls, closed
from hh_keras.graph.opening.agreement import Differs, agree
from hh_keras.graph.opening.assembly import assemble
from hh_keras.graph.opening.comparing import difference, example
from hh_keras.graph.opening.draws import Seeds
from hh_keras.graph.opening.dropping import nothing_dropped
from hh_keras.graph.opening.following import Recording
from hh_keras.graph.opening.modes import agree_by_mode
from hh_keras.graph.opening.one_mode import ALWAYS, STILL
from hh_keras.graph.opening.openable import (
    drawing_together,
    is_graph,
    opens,
    reason,
    untracked,
)
from hh_keras.graph.opening.own_training import with_own_training
from hh_keras.graph.opening.rejected import rejected
from hh_keras.graph.table import some

_BATCHES = (5, 7)

# Operations whose result holds the numbers of their first argument.
_SAME_NUMBERS = ("Cast", "ExpandDims", "GetItem", "Reshape", "Squeeze", "Transpose")


@dataclasses.dataclass(frozen=True, eq=False)
class Opening:
    """A model with its classes opened.

    Attributes:
        model: a functional model, or the very model that was given.
        opened: `(name, class)` of each layer that was opened.
        closed: `(name, class, why)` of each that could not be.
        weights: `(path of the weight, layer)`: weights that classes use by themselves
            and that are layers now.
        unused: paths of weights that no call uses.
        notes: sentences on what is otherwise than in the class: a way of training that
            is lost, a `training` that its call did not take, why the numbers could not
            be compared.

    Examples:
        >>> class Block(keras.layers.Layer):
        ...     def __init__(self, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.conv = keras.layers.Conv2D(3, 1, name="conv")
        ...
        ...     def call(self, x):
        ...         return x + self.conv(x)
        >>> x = keras.Input((8, 8, 3))
        >>> found = hh_keras.opening(keras.Model(x, Block(name="block")(x)))
        >>> found.opened, found.closed, found.notes
        ((('block', 'Block'),), (), ())
    """

    model: Any
    opened: tuple = ()
    closed: tuple = ()
    weights: tuple = ()
    unused: tuple = ()
    notes: tuple = ()

    def __str__(self):
        kinds = collections.Counter(kind for _, kind in self.opened)
        opened = ", ".join(k if n == 1 else f"{k} ({n})" for k, n in kinds.items())
        lines = [f"opened: {opened}"] if opened else []
        if self.weights:
            names = some([path for path, _ in self.weights])
            lines.append(f"weights that are layers of their own now: {names}")
        lines += [f"closed: '{n}' ({kind}): {why}" for n, kind, why in self.closed]
        return "\n".join([*lines, *self.notes]) or "nothing to open"


def inline(model: keras.Model, inputs: Any = None, leaves: bool = True) -> keras.Model:
    """Returns a model with its classes opened: a functional model of ordinary layers.

    A subclassed `Model`, or a layer that holds layers, is replaced by what its `call`
    does. The weights are copies; what was shared is shared. Outputs are those of the
    original bit for bit. Names tell where a layer was: `block_3.conv_1`.

    Args:
        model: any Keras 3 model; it is not changed. A subclassed one must have been
            built, by a call or by `model.build(input_shape)`.
        inputs: for a subclassed model, what it is called on (arrays, or
            `keras.KerasTensor`s, in its structure) if that is not known.
        leaves: whether all layers of one's own that hold no layers are opened too, so
            that the result needs none of their classes. `trace` and all that shrinks
            try such layers as they are, and open those of which a trial proves nothing.

    Returns:
        A `keras.Model`; the very same one if there is nothing to open. What cannot be
        followed, and what `hh_keras.keep_closed` names, stays as it is in it.

    Raises:
        ModelError: a subclassed model cannot be followed; the message names the class
            and the line.

    Examples:
        >>> class Block(keras.layers.Layer):
        ...     def __init__(self, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.conv = keras.layers.Conv2D(3, 1, name="conv")
        ...
        ...     def call(self, x):
        ...         return x + self.conv(x)
        >>> x = keras.Input((8, 8, 3))
        >>> opened = hh_keras.inline(keras.Model(x, Block(name="block")(x)))
        >>> [layer.name for layer in opened.layers if layer.weights]
        ['block.conv']
    """
    found = opening(model, inputs, leaves)
    for note in found.notes:
        warnings.warn(note, stacklevel=2)
    return found.model


def ordinary(model: Any) -> Any:
    """The model as a graph of ordinary layers, for those who only read it."""
    return opening(model, leaves=False).model


def opening(model: Any, inputs: Any = None, leaves: bool = True) -> Opening:
    """As `inline`, with an account of what was opened and what was not.

    Returns:
        An `Opening`.

    Examples:
        >>> found = hh_keras.opening(model)
        >>> found.model is model, found.opened  # there was nothing to open
        (True, ())
    """
    calls.expect_model(model)
    found = _opening(model, inputs, leaves)
    odd = set() if leaves or not is_graph(found.model) else rejected(found.model)
    if not odd:
        return found
    more = _opening(found.model, None, odd)
    kept = {f.name: getattr(found, f.name) for f in dataclasses.fields(Opening)}
    joined = {k: v + getattr(more, k) for k, v in kept.items() if k != "model"}
    joined["closed"] = tuple(dict.fromkeys(joined["closed"]))
    joined["notes"] = tuple(dict.fromkeys(joined["notes"]))
    return Opening(more.model, **joined)


def _opening(model, inputs, leaves):
    """Opens a model's classes; of layers that hold no layers all, none, or a set."""
    layers = list(model._flatten_layers())
    shut = _closed_before(layers, leaves)
    tied = set() if leaves else drawing_together(layers)

    def wanted(layer, nested):
        mine = layer not in shut and closed.why_closed(layer) is None
        leaf = layer in leaves if isinstance(leaves, set) else leaves
        leaf = leaf or layer in tied or (nested and bool(layer._seed_generators))
        return mine and opens(layer, nested, leaf, wanted)

    if not wanted(model, False):
        return Opening(model, closed=_account(shut))
    struct = _inputs(model, inputs)
    if inputs is None and not (is_graph(model) or isinstance(model, Functional)):
        struct = _with_integers(model, struct, wanted)
    while wanted(model, False):
        try:
            with calls.collection_paused():
                return _open(model, struct, wanted, shut)
        except Differs as error:
            if error.layer is model:
                return _unopened(model, shut, f"{type(model).__name__} {error.why}")
            shut[error.layer] = f"{type(error.layer).__name__} {error.why}"
        except _Mismatch as error:
            found = _without_one(model, struct, wanted, shut, error)
            if found is not None:
                return found
            if not error.suspects:
                return _unopened(model, shut, str(error))
            shut.update((x, f"{type(x).__name__}: {error}") for x in error.suspects)
        except ModelError as error:
            return _unopened(model, shut, str(error), error)
        except Exception as error:
            return _unopened(model, shut, reason(model, error, struct), error)
    return Opening(model, closed=_account(shut))


class _Mismatch(Exception):
    """The opened model gives other numbers; `suspects` are the layers opened in it."""

    def __init__(self, what, suspects):
        super().__init__(what)
        self.suspects = suspects


def _open(model, struct, wanted, shut, dropouts=None):
    dropouts = {} if dropouts is None else dropouts

    def record(batch, training):
        sized = _sized(struct, batch)
        return Recording(model, sized, training, wanted, dropouts).run()

    runs = [record(*each) for each in zip(_BATCHES, (False, True))]
    if _unsettled(runs, shut, dropouts):
        return _open(model, struct, wanted, shut, dropouts)
    for layer, why in shut.items():
        closed.close(layer, why)
    names = tuple(
        (x.name, type(x).__name__) for x in runs[0].opened if not calls.is_graph(x)
    )
    if not names:
        return Opening(model, closed=_account(shut))
    try:
        steps, constants, fixed = agree(*runs, _BATCHES)
    except Differs:
        usual = runs[0], record(_BATCHES[1], False)
        training = record(_BATCHES[0], True), runs[1]
        if _unsettled((*usual, *training), shut, dropouts):
            return _open(model, struct, wanted, shut, dropouts)
        steps, constants, fixed = agree_by_mode(usual, training, _BATCHES)
    runs[0].draws = [run.drawn for run in runs]
    inputs = [_input(x, path) for path, x in keras.tree.flatten_with_path(struct)]
    inputs = keras.tree.pack_sequence_as(struct, inputs)
    made = assemble(runs[0], steps, constants, fixed, inputs)
    copies = ((old, made.copies.get(id(new))) for old, new in dropouts.items())
    dropouts = {old: new for old, new in copies if new is not None}
    with nothing_dropped(dropouts):
        what, skipped = difference(model, made.model, example(struct), made.steady)
    if what:
        raise _Mismatch(what, [x for x in runs[0].opened if x is not model])
    used = {id(old) for old, _ in made.pairs}
    unused = tuple(v.path for v in model.weights if id(v) not in used)
    opened, lost = with_own_training(model, made.model)
    notes = (
        lost,
        _untrained(model, made.model),
        untracked(runs[0].opened),
        _redrawn(dropouts),
        _left_out(unused),
        _not_compared(model, skipped),
    )
    notes = tuple(note for note in notes if note)
    return Opening(opened, names, _account(shut), made.weights, unused, notes)


def _unsettled(runs, shut, dropouts):
    """Whether a layer could be followed in some of the runs only, or is a `Dropout`."""
    for run in runs:
        shut.update(run.closed)
        for layer, arguments in run.dropping.items():
            dropouts[layer] = keras.layers.Dropout(**arguments)
    closed_in_all = all(run.closed.keys() == runs[0].closed.keys() for run in runs)
    return not closed_in_all or any(run.dropping for run in runs)


def _not_compared(model, why):
    kind = type(model).__name__
    return why and f"the opened model could not be compared with {kind} {why}"


def _left_out(unused):
    return f"weights that no call uses were left out: {some(unused)}" if unused else ""


def _untrained(model, made):
    """Keras trains a class without `training` in its call as outside training."""
    if model._call_has_training_arg or not any(map(_trains, made._flatten_layers())):
        return None
    return (
        f"{type(model).__name__}.call takes no 'training', so fit() left its dropout "
        "and batch statistics out; the opened model trains with them"
    )


def _trains(layer):
    """Whether a layer does something else in training: it draws, or keeps state."""
    if type(layer) in (*STILL.values(), *ALWAYS.values()):
        return False
    if isinstance(layer, Seeds):
        return layer.draws[0] != layer.draws[1]
    keeps = layer._non_trainable_variables or layer._seed_generators
    return layer._call_has_training_arg and bool(keeps)


def _redrawn(dropouts):
    kinds = sorted({type(x).__name__ for x in dropouts})
    if not kinds:
        return None
    names = ", ".join(kinds)
    return f"{names}: keras.layers.Dropout draws what is dropped in training instead"


def _without_one(model, struct, wanted, shut, error):
    """Opens all classes but one, if one alone is why the numbers differ."""
    for layer in error.suspects:
        shut[layer] = f"{type(layer).__name__}: {error}"
        try:
            return _open(model, struct, wanted, shut)
        except (_Mismatch, Differs):
            del shut[layer]
            closed.reopen(layer)
    return None


def _unopened(model, shut, why, error=None):
    """A graph stays as it was; of a subclassed model there is none."""
    why = why.rstrip(".")
    if is_graph(model):
        closed.close(model, why)
        return Opening(model, closed=(*_account(shut), (model.name, "", why)))
    for layer in shut:  # other inputs may do
        closed.reopen(layer)
    raise ModelError(
        f"model '{model.name}' cannot be opened: {why}. Write it with the functional "
        "API, or take what cannot be followed out of its call into a layer of its own."
    ) from error


def _closed_before(layers, leaves):
    """Layers that could be opened, but are to stay closed."""
    known = {x: closed.why_closed(x) for x in layers}
    return {
        x: why
        for x, why in known.items()
        if why and not is_graph(x) and opens(x, False, leaves, lambda *_: True)
    }


def _account(shut):
    return tuple((x.name, type(x).__name__, why) for x, why in shut.items())


def _inputs(model, inputs):
    """The structure of a model's inputs, as symbolic tensors with an open batch."""
    if inputs is not None:
        return keras.tree.map_structure(_open_batch, inputs)
    if calls.is_graph(model):
        return calls.as_graph(model)._inputs_struct
    if isinstance(model, Functional):  # with a `call` or `__call__` of its own
        return model._inputs_struct
    shapes = getattr(model, "_build_shapes_dict", None)
    if not shapes:
        raise ModelError(
            f"what model '{model.name}' ({type(model).__name__}) is called on is not "
            "known: call it once, or model.build(input_shape), or open it with "
            "hh_keras.inline(model, inputs=x), x being arrays."
        )
    shapes = next(iter(shapes.values()))
    return keras.tree.map_shape_structure(
        lambda s: keras.KerasTensor((None, *s[1:]), "float32"), shapes
    )


def _with_integers(model, struct, wanted):
    """Inputs that are looked up in a table are integers, which no class writes down."""
    try:
        run = Recording(model, _sized(struct, _BATCHES[0]), False, wanted).run()
    except Exception:  # the reason is given where the model is opened
        return struct
    looked_up = set()
    for step in reversed(run.steps):
        kind = type(step.op).__name__
        if kind in ("Take", "TakeAlongAxis"):
            looked_up.update(map(id, step.args[1:2]))
        same = kind in _SAME_NUMBERS and id(step.outputs[0]) in looked_up
        if same or kind == "OneHot" or isinstance(step.op, keras.layers.Embedding):
            looked_up.add(id(step.args[0]))
    flat = [
        keras.KerasTensor(x.shape, "int32" if id(seen) in looked_up else x.dtype)
        for x, seen in zip(keras.tree.flatten(struct), keras.tree.flatten(run.inputs))
    ]
    return keras.tree.pack_sequence_as(struct, flat)


def _open_batch(x):
    shape = (None, *x.shape[1:])
    return keras.KerasTensor(shape, keras.backend.standardize_dtype(x.dtype))


def _sized(struct, batch):
    """The inputs with a batch of that size, where it is open."""

    def sized(x):
        shape = [batch if k == 0 and n is None else n for k, n in enumerate(x.shape)]
        return keras.KerasTensor(shape, x.dtype, sparse=x.sparse)

    return keras.tree.map_structure(sized, struct)


def _input(x, path):
    history = getattr(x, "_keras_history", None)
    name = history.operation.name if history else None
    if path and isinstance(path[-1], str):
        name = path[-1]
    return keras.Input(batch_shape=x.shape, dtype=x.dtype, name=name)
