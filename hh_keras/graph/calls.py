"""The calls of a functional model.

A *call* is one use of one operation (a layer, a nested model, or a `keras.ops` node)
in the graph. `interpret` runs the calls on any kind of value.
"""

import contextlib
import dataclasses
import gc
import os
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.src.models.functional import Functional

from hh_keras.errors import ModelError


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
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

    @property
    def number(self) -> int:
        """Which call of its operation this is; two openings of a model agree on it."""
        return self.op._inbound_nodes.index(self.node)

    def arguments(self, values: Any) -> tuple:
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


def is_graph(op: Any) -> bool:
    """Whether `op` is a model whose calls can be read (functional or Sequential)."""
    kind = type(op)
    if isinstance(op, keras.Sequential):
        own = kind.call, kind.__call__
        built = getattr(op, "_functional", None) is not None
        return built and own == (keras.Sequential.call, keras.Sequential.__call__)
    own = getattr(kind, "call", None), kind.__call__
    return isinstance(op, Functional) and own == (Functional.call, Functional.__call__)


def expect_model(model: Any) -> None:
    """Raises ModelError if it is no Keras model."""
    if isinstance(model, (str, os.PathLike)):
        raise ModelError(
            f"expected a keras.Model, got the path '{model}'; load it first: "
            "keras.models.load_model(path)."
        )
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"expected a keras.Model, got {type(model).__module__}."
            f"{type(model).__name__}; models of the legacy tf_keras package must be "
            "converted to Keras 3 first."
        )


def as_graph(model: keras.Model) -> Any:
    """Returns the functional graph of a model.

    Raises:
        ModelError: not a Keras model, not built, or subclassed.
    """
    expect_model(model)
    if isinstance(model, keras.Sequential) and (is_graph(model) or not model.built):
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
            "is hidden in Python code, and it is to stay closed. Let hh_keras open it, "
            "or write it with the functional API: keras.Model(inputs, outputs)."
        )
    return model


def calls(model: keras.Model, path: str = "") -> list[Call]:
    """Returns the calls of a model in the order in which Keras executes them."""
    graph = as_graph(model)
    by_depth = graph._nodes_by_depth
    return [
        Call(node.operation, tuple(node.input_tensors), tuple(node.outputs), node, path)
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
        if node.operation and not node.is_input
    ]


def op_key(op_type: type) -> str:
    """A stable name of an operation class that Keras does not export.

    `keras.src.ops.numpy.Add` becomes `keras.ops.Add`,
    `keras.src.applications.convnext.LayerScale` becomes
    `keras.applications.LayerScale`.
    """
    package, *rest = op_type.__module__.split(".")
    if rest[:1] == ["src"]:
        rest = rest[1:2] if package == "keras" else []
    return ".".join([package, *rest[:1], op_type.__name__])


def is_layer(op: Any) -> bool:
    return isinstance(op, keras.Layer)


def layers_in(layer: Any) -> Any:
    """A layer and all layers in it; of most there are none, which is quickly seen."""
    return layer._flatten_layers() if layer._layers else (layer,)


def match_inputs(graph: Any, argument: Any) -> list:
    """A nested model's call argument in the order of its inputs, as Keras maps it.

    Returns:
        A list as long as `graph.inputs`; None where an optional input is left out.
    """
    own = graph._inputs_struct
    if isinstance(argument, dict):
        if isinstance(own, dict):
            return keras.tree.flatten([argument.get(key) for key in sorted(own)])
        return [argument[t.name] for t in graph.inputs]
    return keras.tree.flatten(argument)


def interpret(
    model: keras.Model, inputs: Any, step: Callable, enter: Callable | None = None
) -> list:
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
    paths: dict[int, str] = {}

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
            for tensor, value in zip(call.outputs, outputs):
                values[id(tensor)] = value
        return [values[id(t)] for t in graph.outputs]

    return run(model, inputs, "")


def leaf_operations(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, Any]]:
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


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
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
