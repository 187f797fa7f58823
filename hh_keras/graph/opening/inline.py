"""Opening classes: a model as the graph of the ordinary layers inside it.

The model is followed twice, with two batch sizes, once in training and once not.
What is the same both times is the graph; a number that grows along with the batch is
the batch; whatever else differs depends on something that no graph can know, and the
class in which it happens stays closed. The steps are then made again with copies of
the layers, and in the end both models must give the same numbers.
"""

import dataclasses
from typing import Any

import keras
from keras.src.models.functional import Functional

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.graph.opening.agreement import Differs, agree
from hh_keras.graph.opening.assembly import assemble
from hh_keras.graph.opening.comparing import difference, example
from hh_keras.graph.opening.following import Recording
from hh_keras.graph.opening.openable import is_graph, opens, reason, untracked
from hh_keras.graph.opening.own_training import with_own_training

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
            is lost, a `training` that its call did not take.
    """

    model: Any
    opened: tuple = ()
    closed: tuple = ()
    weights: tuple = ()
    unused: tuple = ()
    notes: tuple = ()


def inline(model: keras.Model, inputs: Any = None, closed: Any = ()) -> keras.Model:
    """Returns a model with its classes opened: a functional model of ordinary layers.

    A subclassed `Model`, or a layer that holds layers, is replaced by what its `call`
    does. The weights are copies; what was shared is shared. Outputs are those of the
    original bit for bit. Names tell where a layer was: `block_3.conv_1`.

    Args:
        model: any Keras 3 model; it is not changed. A subclassed one must have been
            built, by a call or by `model.build(input_shape)`.
        inputs: for a subclassed model, what it is called on (arrays, or
            `keras.KerasTensor`s, in its structure) if that is not known.
        closed: layers or classes that are to stay as they are.

    Returns:
        A `keras.Model`; the very same one if there is nothing to open.

    Raises:
        ModelError: a subclassed model cannot be followed; the message names the class
            and the line.
    """
    return opening(model, inputs, closed).model


def opening(
    model: Any, inputs: Any = None, closed: Any = (), leaves: Any = False
) -> Opening:
    """As `inline`, with an account of what was opened and what was not.

    Args:
        leaves: whether layers of one's own that hold no layers are opened too.

    Returns:
        An `Opening`.
    """
    if not isinstance(model, keras.Model):
        return Opening(model)
    kinds = tuple(c for c in closed if isinstance(c, type))
    shut = {c: "is to stay closed" for c in closed if not isinstance(c, type)}

    def wanted(layer, nested):
        mine = layer not in shut and not isinstance(layer, kinds)
        return mine and opens(layer, nested, leaves, wanted)

    if not wanted(model, False):
        return Opening(model)
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


def _open(model, struct, wanted, shut):
    runs = [
        Recording(model, _sized(struct, batch), training, wanted).run()
        for batch, training in zip(_BATCHES, (False, True))
    ]
    for run in runs:
        shut.update(run.closed)
    if runs[0].closed.keys() != runs[1].closed.keys():
        return _open(model, struct, wanted, shut)
    steps, constants = agree(*runs, _BATCHES)
    inputs = [_input(x, path) for path, x in keras.tree.flatten_with_path(struct)]
    inputs = keras.tree.pack_sequence_as(struct, inputs)
    made = assemble(runs[0], steps, constants, inputs)
    what = difference(model, made.model, example(struct), made.steady)
    if what:
        raise _Mismatch(what, [x for x in runs[0].opened if x is not model])
    used = {id(old) for old, _ in made.pairs}
    unused = tuple(v.path for v in model.weights if id(v) not in used)
    names = tuple((x.name, type(x).__name__) for x in runs[0].opened)
    opened, lost = with_own_training(model, made.model)
    notes = (lost, _untrained(model), untracked(runs[0].opened))
    notes = tuple(note for note in notes if note)
    return Opening(opened, names, _account(shut), made.weights, unused, notes)


def _untrained(model):
    """Keras trains a class without `training` in its call as outside training."""
    if model._call_has_training_arg:
        return None
    return (
        f"{type(model).__name__}.call takes no 'training', so fit() left its dropout "
        "and batch statistics out; the opened model trains with them"
    )


def _without_one(model, struct, wanted, shut, error):
    """Opens all classes but one, if one alone is why the numbers differ."""
    for layer in error.suspects:
        shut[layer] = f"{type(layer).__name__}: {error}"
        try:
            return _open(model, struct, wanted, shut)
        except (_Mismatch, Differs):
            del shut[layer]
    return None


def _unopened(model, shut, why, error=None):
    """A graph stays as it was; of a subclassed model there is none."""
    if is_graph(model):
        return Opening(model, closed=(*_account(shut), (model.name, "", why)))
    raise ModelError(
        f"model '{model.name}' cannot be opened: {why}. Write it with the functional "
        "API, or take what cannot be followed out of its call into a layer of its own."
    ) from error


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
            "known: call it once, or model.build(input_shape), or say it in `inputs`."
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
