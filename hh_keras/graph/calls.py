"""The calls of a functional model, and how to make them again.

A *call* is one use of one operation (a layer, a nested model, or a `keras.ops` node)
in the graph. `interpret` runs the calls on any kind of value, `replay` makes them
anew on symbolic tensors. This is the only file that touches Keras internals.
"""

import contextlib
import dataclasses
import functools
import gc
import random
from typing import Any

import keras
from keras.src.models.functional import Functional
from keras.src.ops.operation import Operation

from hh_keras.errors import ModelError
from hh_keras.graph.cloning import clone_op, sharing
from hh_keras.graph.subclasses import keep_attributes, model_like, sequence_like


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One use of one operation.

    Attributes:
        op: the layer, model or `keras.ops` operation that is called.
        inputs: its symbolic input tensors, flat.
        outputs: its symbolic output tensors, flat.
        node: the Keras node behind it.
        graph: path of the model that makes the call, with a trailing slash.
    """

    op: Any
    inputs: tuple
    outputs: tuple
    node: Any
    graph: str = ""

    def arguments(self, values):
        """Returns `(args, kwargs)` with tensors replaced by `values[id(tensor)]`."""
        arguments = self.node.arguments
        args = tuple([_filled(a, values) for a in arguments.args])
        return args, {k: _filled(a, values) for k, a in arguments.kwargs.items()}


def _filled(argument, values):
    """Keras's own `fill_in` does the same for any container, but ten times slower."""
    kind = type(argument)
    if kind is keras.KerasTensor:
        return values.get(id(argument), argument)
    if kind is list or kind is tuple:
        return kind([_filled(a, values) for a in argument])
    if argument is None or kind in (bool, int, float, str):
        return argument
    return keras.tree.map_structure(
        lambda x: values.get(id(x), x) if isinstance(x, keras.KerasTensor) else x,
        argument,
    )


def is_graph(op):
    """Whether `op` is a model whose calls can be read (functional or Sequential)."""
    if isinstance(op, keras.Sequential):
        return getattr(op, "_functional", None) is not None
    return isinstance(op, Functional) and type(op).call is Functional.call


def as_graph(model):
    """Returns the functional graph of a model.

    Raises:
        ModelError: not a Keras model, not built, or subclassed.
    """
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"expected a keras.Model, got {type(model).__module__}."
            f"{type(model).__name__}; models of the legacy tf_keras package must be "
            "converted to Keras 3 first."
        )
    if isinstance(model, keras.Sequential):
        if getattr(model, "_functional", None) is None:
            raise ModelError(
                f"Sequential model '{model.name}' is not built, so its channels are "
                "not known: start it with keras.Input(shape) or call "
                "model.build(input_shape)."
            )
        return model._functional
    if not is_graph(model):
        raise ModelError(
            f"model '{model.name}' ({type(model).__name__}) is subclassed: its graph "
            "is hidden in Python code. Write it with the functional API: "
            "keras.Model(inputs, outputs)."
        )
    return model


def calls(model, path=""):
    """Returns the calls of a model in the order in which Keras executes them."""
    graph = as_graph(model)
    by_depth = graph._nodes_by_depth
    return [
        Call(node.operation, tuple(node.input_tensors), tuple(node.outputs), node, path)
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
        if node.operation and not node.is_input
    ]


def op_key(op_type):
    """A stable name of an operation class that Keras does not export.

    `keras.src.ops.numpy.Add` becomes `keras.ops.Add`,
    `keras.src.applications.convnext.LayerScale` becomes
    `keras.applications.LayerScale`.
    """
    package, *rest = op_type.__module__.split(".")
    if rest[:1] == ["src"]:
        rest = rest[1:2] if package == "keras" else []
    return ".".join([package, *rest[:1], op_type.__name__])


def is_layer(op):
    return isinstance(op, keras.Layer)


def match_inputs(graph, argument):
    """A nested model's call argument in the order of its inputs, as Keras maps it.

    Returns:
        A list as long as `graph.inputs`; None where an optional input is left out.
    """
    own = graph._inputs_struct
    if isinstance(argument, dict):
        if isinstance(own, dict):
            return [argument.get(key) for key in sorted(own)]
        return [argument[t.name] for t in graph.inputs]
    return keras.tree.flatten(argument)


def interpret(model, inputs, step, enter=None):
    """Runs a model's calls on any kind of value.

    Args:
        model: a functional or Sequential model.
        inputs: one value for each input tensor, flat.
        step: `step(path, call, args, kwargs)` returns the values of the call's
            outputs, a flat list. Nested models are entered; `path` is
            `"outer/inner/layer"`, of a layer that is reached in several ways the
            first: layers are known by identity.
        enter: `enter(path, graph, inputs)` is told of each nested model that is
            entered, and returns the values to enter it with.

    Returns:
        The values of the model's output tensors, flat.
    """
    paths = {}

    def run(model, inputs, prefix):
        graph = as_graph(model)
        values = {id(t): v for t, v in zip(graph.inputs, inputs)}
        for call in calls(model):
            args, kwargs = call.arguments(values)
            path = paths.setdefault(id(call.op), prefix + call.op.name)
            if is_graph(call.op):
                argument = args[0] if args else kwargs.get("inputs")
                inner = match_inputs(as_graph(call.op), argument)
                if enter is not None:
                    inner = enter(path, as_graph(call.op), inner)
                outputs = run(call.op, inner, path + "/")
            else:
                outputs = step(path, call, args, kwargs)
            values.update((id(t), v) for t, v in zip(call.outputs, outputs))
        return [values[id(t)] for t in graph.outputs]

    return run(model, inputs, "")


def replay(model, make, call=None):
    """Makes a model's calls anew on fresh symbolic tensors.

    Args:
        model: a functional or Sequential model; it is not changed.
        make: `make(path, op)` returns the operation to use in place of `op`. It is
            asked once per operation: shared layers stay shared.
        call: `call(path, call, new_op, args, kwargs)` makes the call and returns its
            outputs; the default is `new_op(*args, **kwargs)`.

    Returns:
        A model of the same kind, name, structure of inputs and outputs, the same
        variables trainable. A Sequential model stays one if `call` is None.
    """
    made, paths = {}, {}

    def make_once(path, op, arguments=None):
        if id(op) not in made:
            path = paths.setdefault(id(op), path)
            if is_graph(op):
                new = replay_graph(op, path + "/", arguments)
            else:
                new = make(path, op)
            made[id(op)] = op, new
        paths.setdefault(id(op), path)
        return made[id(op)][1]

    def make_call(path, old, new_op, args, kwargs):
        if call is None:
            return new_op(*args, **kwargs)
        return call(paths[id(old.op)], old, new_op, args, kwargs)

    def replay_graph(model, prefix, arguments=None):
        graph = as_graph(model)
        given = [None] * len(graph.inputs)
        if arguments is not None:
            given = match_inputs(graph, arguments)
        inputs = [_new_input(t, x) for t, x in zip(graph.inputs, given)]
        if isinstance(model, keras.Sequential) and call is None:
            return _replay_sequence(model, inputs[0], make_once, prefix)
        return _replay_functional(model, inputs, make_once, make_call, prefix)

    with sharing(made):
        new = replay_graph(model, "")
    made[id(model)] = model, new
    made_anew = {key: pair[1] for key, pair in made.items()}
    for old, young in made.values():
        if is_graph(old):
            keep_attributes(old, young, made_anew)
    _keep_trainable([pair for pair in made.values()])
    return new


def _replay_sequence(model, inputs, make_once, prefix):
    """A Sequential model; nested models in it must see what they are called on."""
    if not any(is_graph(layer) for layer in model.layers):
        layers = [make_once(prefix + layer.name, layer) for layer in model.layers]
        return sequence_like(model, [inputs, *layers])
    layers, so_far = [], keras.Sequential([inputs])
    for layer in model.layers:
        seen = so_far.outputs[0] if layers else inputs
        layers.append(make_once(prefix + layer.name, layer, seen))
        so_far.add(layers[-1])
    return sequence_like(model, [inputs, *layers])


def _new_input(tensor, given=None):
    """An input like `tensor`, with the sizes of `given` where they were known."""
    config = tensor._keras_history.operation.get_config()
    shape = tensor.shape
    if given is not None:
        sizes = (*given.shape, 1)[: len(shape)]  # as Keras drops or adds a last 1
        shape = [None if n is None else m for n, m in zip(shape, sizes)]
    return keras.Input(
        batch_shape=shape,
        dtype=tensor.dtype,
        sparse=tensor.sparse or None,
        name=config["name"],
        optional=config.get("optional", False),
    )


def _replay_functional(model, inputs, make_once, make_call, prefix):
    graph = as_graph(model)
    values = {id(t): x for t, x in zip(graph.inputs, inputs)}
    inputs = keras.tree.map_structure(lambda t: values[id(t)], graph._inputs_struct)
    for old in calls(model, prefix):
        args, kwargs = old.arguments(values)
        path = prefix + old.op.name
        if is_graph(old.op):
            inner = args[0] if args else kwargs.get("inputs")
            results = make_once(path, old.op, inner)(*args, **kwargs)
        else:
            results = make_call(path, old, make_once(path, old.op), args, kwargs)
        results = keras.tree.flatten(results)
        values.update((id(t), v) for t, v in zip(old.outputs, results))
    outputs = keras.tree.map_structure(lambda t: values[id(t)], graph._outputs_struct)
    return model_like(model, inputs, outputs)


def _keep_trainable(pairs):
    """Gives layers and variables the `trainable` of those they were made from.

    A model that is set hands its own down to all that is in it, so models come first,
    outer before inner (they are the last to be finished).
    """
    for old, new in reversed([p for p in pairs if is_graph(p[0])]):
        if new.trainable != old.trainable:
            new.trainable = old.trainable
    for old, new in pairs:
        if is_graph(old) or not is_layer(old):
            continue
        for a, b in zip(old._flatten_layers(), new._flatten_layers()):
            if a.trainable != b.trainable:
                b.trainable = a.trainable
        usual = all(
            v.trainable is old.trainable and v.regularizer is w.regularizer
            for v, w in zip(old._trainable_variables, new._trainable_variables)
        )
        if usual:
            continue
        mine = variables(new)
        for name, variable in variables(old).items():
            if name in mine and mine[name].trainable != variable.trainable:
                mine[name].trainable = variable.trainable
            if name in mine:
                mine[name].regularizer = variable.regularizer


@contextlib.contextmanager
def seeded(seed):
    """Makes initialisers without a seed of their own reproducible in this block.

    Keras draws their seeds from Python's `random`, whose state is put back after.
    """
    if seed is None:
        yield
        return
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def variables(op):
    """Attribute name → variable of one layer, its random state included.

    Variables of inner layers go by their own names; one that comes again gets a prime.
    """
    if not is_layer(op):
        return {}
    attributes = {
        id(value): key.lstrip("_")
        for key, value in vars(op).items()
        if isinstance(value, keras.Variable)
    }
    found = {}
    for v in op.variables:
        name = attributes.get(id(v)) or v.path.rsplit("/", 1)[-1]
        while name in found:
            name += "'"
        found[name] = v
    return found


def initialize_with(layer, value):
    """Has a layer that is not built yet start with given weights.

    Creating a variable and overwriting it later takes twice as long.

    Args:
        layer: the layer.
        value: `value(name, shape)` returns an array, or None to leave a weight to the
            layer's own initialiser.
    """
    add_weight = layer.add_weight

    @functools.wraps(add_weight)
    def add(shape=None, initializer=None, *args, **kwargs):
        given = value(kwargs.get("name"), shape)
        if given is not None:
            initializer = lambda shape, dtype=None: given  # noqa: E731
        return add_weight(shape, initializer, *args, **kwargs)

    object.__setattr__(layer, "add_weight", add)


def initialize_as_usual(layer):
    """Takes back `initialize_with`."""
    vars(layer).pop("add_weight", None)


@contextlib.contextmanager
def collection_paused():
    """Keeps Python's garbage collector from walking whole models in mid-work.

    A new model is many small objects and no garbage; each full collection they set off
    takes as long as making a hundred layers.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def leaf_operations(model, prefix=""):
    """Yields `(path, op)` of each operation, nested models entered, each once."""
    seen = set()

    def walk(model, prefix):
        for call in calls(model):
            if id(call.op) in seen:
                continue
            seen.add(id(call.op))
            path = prefix + call.op.name
            if is_graph(call.op):
                yield from walk(call.op, path + "/")
            else:
                yield path, call.op

    yield from walk(model, prefix)


__all__ = [
    "Call",
    "Operation",
    "as_graph",
    "calls",
    "clone_op",
    "collection_paused",
    "initialize_as_usual",
    "initialize_with",
    "interpret",
    "is_graph",
    "is_layer",
    "leaf_operations",
    "op_key",
    "replay",
    "seeded",
    "variables",
]
