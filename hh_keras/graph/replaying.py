"""Making the calls of a model anew, on fresh symbolic tensors."""

import functools
from collections.abc import Callable

import keras

from hh_keras.graph.biases import as_meant
from hh_keras.graph.calls import as_graph, calls, is_graph, is_layer, match_inputs
from hh_keras.graph.sharing import sharing
from hh_keras.graph.subclasses import keep_attributes, model_like, sequence_like
from hh_keras.graph.weights import variables


def replay(
    model: keras.Model, make: Callable, call: Callable | None = None
) -> keras.Model:
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
    made: dict[int, tuple] = {}
    paths: dict[int, str] = {}

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
            return new_op(*as_meant(new_op, args), **kwargs)
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
        for old, young in list(made.values()):
            if is_graph(old):
                again = functools.partial(replay_graph, prefix=f"{old.name}/")
                keep_attributes(old, young, made_anew, again)
    _keep_trainable([pair for pair in made.values()])
    return new


def _replay_sequence(model, inputs, make_once, prefix):
    """A Sequential model; nested models in it must see what they are called on."""
    if not any(is_graph(layer) for layer in model.layers):
        layers = [make_once(prefix + layer.name, layer) for layer in model.layers]
        return sequence_like(model, [inputs, *layers])
    layers, so_far = [], keras.Sequential([inputs], name=model.name)
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
