"""Following a class: its `call` runs on symbolic tensors, and what it does is noted.

While a `Recording` runs, Keras' own `Layer.__call__` does all that it always does
(build, dtypes, masks, `training`), except at two points: a class that is to be opened
has its `call` run where Keras would ask for a shape, and instead of nodes on the user's
layers, which are not touched, a list of *steps* grows.
"""

import collections
import contextlib
import dataclasses
import functools
import traceback
from typing import Any

import keras
import numpy as np
from keras.src import ops as keras_ops
from keras.src.backend import random
from keras.src.backend.common import variables as keras_variables
from keras.src.layers import layer as keras_layer
from keras.src.ops import operation as keras_operation
from keras.src.random.seed_generator import SeedGenerator
from keras.src.utils.python_utils import is_default

from hh_keras.graph import calls
from hh_keras.graph.opening import chance, tensorflow_functions
from hh_keras.graph.opening.draws import (
    DRAWN,
    Given,
    global_state_variable,
    noted,
)
from hh_keras.graph.opening.dropping import as_dropout
from hh_keras.graph.opening.numpy_numbers import as_tensorflow_takes_them
from hh_keras.graph.opening.openable import (
    SEQUENTIAL,
    dense,
    in_turn,
    is_array,
    is_graph,
    masked,
    of_keras,
    own_line,
    put,
    reason,
    replaced,
    small_padding,
    variables_in,
    variables_of,
)


class NotFollowed(Exception):
    """A class does something that no graph of layers can do."""


@dataclasses.dataclass(eq=False)
class Step:
    """One use of one operation: as `calls.Call`, but not yet part of a graph.

    `scope` are the classes being opened around it, the outermost first; `line` is
    where their code asks for it, for instance `"blocks.py:12"`.
    """

    op: Any
    args: tuple
    kwargs: dict
    outputs: list
    scope: tuple
    line: str = ""


@dataclasses.dataclass(eq=False)
class Read:
    """A variable that a class uses by itself, of which `layer` is the owner."""

    variable: Any
    layer: Any
    name: str

    def same(self, other: Any) -> bool:
        return self.variable is other.variable


@dataclasses.dataclass(eq=False)
class Seed:
    """What the next draw of a generator starts from; `number` counts its draws."""

    generator: Any
    number: int

    def same(self, other: Any) -> bool:
        return self.generator is other.generator and self.number == other.number


class Recording:
    """What one run of a model does.

    Attributes:
        inputs, outputs: the structures of symbolic tensors.
        steps: list of `Step`, in the order in which they were made.
        reads: id of a symbolic tensor → the `Read` or `Seed` that it stands for.
        drawn: generator of random numbers → how many seeds are taken from it.
        losses: symbolic losses that classes add on the way.
        opened: the layers whose insides were followed.
        closed: layer → why it could not be followed.
        dropping: layer that could not be followed as it drops something by chance → the
            arguments of a `Dropout` that does the same.
    """

    def __init__(
        self,
        model: Any,
        inputs: Any,
        training: Any,
        wanted: Any,
        dropouts: Any = None,
    ) -> None:
        self.model, self.inputs, self.training = model, inputs, training
        self.wanted = wanted
        self.steps: list = []
        self.losses: list = []
        self.reads: dict = {}
        self.drawn: collections.Counter = collections.Counter()
        self.opened: dict = {}
        self.closed: dict = {}
        self.shapeless: Any = None  # why a closed layer cannot even be called
        self.dropouts = dropouts or {}  # layer → the `Dropout` in its place
        self.dropping: dict = {}
        self.scope: list = []
        self.inside = 0  # how many closed layers are being called
        self._done: list = []  # opened layers whose node Keras is about to make
        self._masks: dict = {}
        self._symbols: dict = {}  # id of a variable → (it, the tensor in its place)
        self._tuples: dict = {}  # id of a tuple of such tensors → that of the variables

    def run(self) -> "Recording":
        layers = list(self.model._flatten_layers())
        places = [p for layer in layers for p in variables_in(layer)]
        for layer, _, key, value in places:
            for variable in variables_of(value):
                if id(variable) not in self._symbols:
                    tensor = self._symbol(variable, layer, key)
                    self._symbols[id(variable)] = variable, tensor
        tensors = {k: tensor for k, (_, tensor) in self._symbols.items()}
        for *_, value in places:
            if id(value) not in self._symbols:  # a tuple
                new = replaced(value, tensors)
                self._symbols[id(value)] = value, new
                self._tuples[id(new)] = value
        with self._patched(), self._swapped(places):
            self.outputs = self.model(self.inputs, training=self.training)
        return self

    def _symbol(self, variable, layer, key):
        floating = keras.backend.is_float_dtype(variable.dtype)
        cast = floating and variable._autocast
        dtype = layer.compute_dtype if cast else variable._dtype
        tensor = keras.KerasTensor(tuple(variable.shape), dtype)
        name = str(key) if isinstance(key, str) else variable.name
        self.reads[id(tensor)] = Read(variable, layer, name.strip("_"))
        # The tensor is kept in `_symbols`: its id is its own as long as this lives.
        return tensor

    @contextlib.contextmanager
    def _swapped(self, places, back=False):
        """Puts symbolic tensors in the places of variables, or the variables back."""

        def swap(back):
            for _, container, key, value in places:
                value, new = self._symbols[id(value)]
                put(container, key, value if back else new)

        swap(back)
        try:
            yield
        finally:
            swap(not back)

    @contextlib.contextmanager
    def _closed_call(self, layer):
        """While a closed layer is called, all is as if nobody followed."""
        places = []
        if not self.inside:
            for each in layer._flatten_layers():
                places += variables_in(each, self._original)
        self.inside += 1
        try:
            with self._swapped(places, back=True):
                yield
        finally:
            self.inside -= 1

    def _original(self, value):
        """The variable, or the tuple of variables, in whose place a value is."""
        read = self.reads.get(id(value))
        return read.variable if isinstance(read, Read) else self._tuples.get(id(value))

    def opens(self, layer: Any) -> bool:
        """Whether a layer's `call` is to be followed."""
        return self.wanted(layer, any(not is_graph(s) for s in self.scope))

    def note(
        self,
        operation: Any,
        call_args: Any = (),
        call_kwargs: Any = None,
        outputs: Any = None,
    ) -> Any:
        """Takes the place of Keras' `Node`."""
        if self.inside:
            return keras.src.ops.node.Node(operation, call_args, call_kwargs, outputs)
        if self._done and self._done[-1] is operation:
            self._done.pop()
            return None
        kwargs = {**(call_kwargs or {}), **self._masks.pop(id(operation), {})}
        flat = keras.tree.flatten(outputs)
        if not all(isinstance(x, keras.KerasTensor) for x in flat):
            raise NotFollowed(f"'{operation.name}' returns something that is no tensor")
        if any(callable(a) for a in _flat((call_args, kwargs, vars(operation)))):
            if not calls.is_layer(operation):
                kind = type(operation).__name__.lower()
                raise NotFollowed(f"keras.ops.{kind} runs a Python function")
        dense(flat, _flat((call_args, kwargs)))
        args, kwargs = _as_now((tuple(call_args), kwargs))
        # Keras casts the inputs of a model before it calls it.
        scope = tuple(self.scope) or (self.model,)
        line = own_line(traceback.walk_stack(None))
        self.steps.append(Step(operation, args, kwargs, flat, scope, line))
        return None

    def symbolic_call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Takes the place of `Layer.symbolic_call`."""
        if self.inside or not self.opens(layer):
            return self._leaf(layer, args, kwargs)
        marks = len(self.steps), len(self.losses), len(self._done), len(self.scope)
        drawn = self.drawn.copy()
        self.scope.append(layer)
        try:
            with chance.noticed():
                outputs = self._regularized(layer, self._body(layer)(*args, **kwargs))
        except Exception as error:
            if layer is self.model:
                raise
            del self.steps[marks[0] :], self.losses[marks[1] :], self._done[marks[2] :]
            del self.scope[marks[3] :]
            self.drawn = drawn
            dropout = self._dropout(layer, args, error)
            if dropout is None:
                self.closed[layer] = reason(layer, error, (args, kwargs))
            else:
                self.dropping[layer] = dropout
            return self._leaf(layer, args, kwargs)
        self.scope.pop()
        self.opened[layer] = None
        self._done.append(layer)
        return outputs

    def _leaf(self, layer, args, kwargs):
        if not self.inside:
            self._masks[id(layer)] = {
                k: v
                for k, v in kwargs.items()
                if (k == "mask" or k.endswith("_mask")) and _any_symbolic(v)
            }
        with (
            self._closed_call(layer),
            chance.noticed(refused=False),
            _padding_in_small(layer),
        ):
            try:
                spec = layer.compute_output_spec(*args, **kwargs)
            except Exception as error:
                raise self._shapeless(layer, error, (args, kwargs)) from error
            if isinstance(layer, keras.layers.EinsumDense) and None in spec.shape:
                # Sizes that its `output_shape` does not say follow from its input.
                spec = keras.src.backend.compute_output_spec(layer.call, *args)
            return spec

    def _shapeless(self, layer, error, inputs):
        """What is wrong with a closed layer of which Keras cannot say what it gives.

        Of those within each other, the innermost one is to be mended.
        """
        if not is_default(layer.compute_output_shape) or of_keras(layer):
            return error
        if self.shapeless is None:
            why = self.closed.get(layer) or reason(layer, error, inputs)
            self.shapeless = NotFollowed(
                f"'{layer.name}' has to stay closed ({why}), which takes a "
                "compute_output_shape in its class"
            )
        return self.shapeless

    def _dropout(self, layer, args, error):
        """The `Dropout` that a layer is whose draws could not be followed, or None."""
        one = len(args) == 1 and isinstance(args[0], keras.KerasTensor)
        if not one or not isinstance(error, chance.Drawn):
            return None
        self.inside += 1
        try:
            with chance.noticed(refused=False):
                return as_dropout(layer, len(args[0].shape))
        finally:
            self.inside -= 1

    def _body(self, layer):
        if layer in self.dropouts:
            return lambda x, training=None: self.dropouts[layer](x)
        if isinstance(layer, keras.Sequential) and type(layer).call is SEQUENTIAL:
            return lambda x, training=None, mask=None: in_turn(layer, x, mask)
        if is_graph(layer):
            return lambda x, training=None, mask=None: self._through(
                layer, masked(x, mask), training
            )
        return layer.call

    def _through(self, model, inputs, training):
        values = {}
        tensors = calls.match_inputs(calls.as_graph(model), inputs)
        for old, x in zip(calls.as_graph(model).inputs, tensors):
            if len(old.shape) != len(x.shape):
                raise NotFollowed(f"an input of '{model.name}' has another rank")
            same = keras.backend.standardize_dtype(x.dtype) == old.dtype
            values[id(old)] = x if same else keras_ops.cast(x, old.dtype)
        for call in calls.calls(model):
            args, kwargs = call.arguments(values)
            if training is not None and calls.is_layer(call.op):
                kwargs["training"] = training
            outputs = keras.tree.flatten(call.op(*args, **kwargs))
            values.update((id(t), v) for t, v in zip(call.outputs, outputs))
        struct = calls.as_graph(model)._outputs_struct
        outputs = keras.tree.map_structure(lambda t: values[id(t)], struct)
        one = isinstance(outputs, (list, tuple)) and len(outputs) == 1
        return outputs[0] if one else outputs

    def _regularized(self, layer, outputs):
        if layer.activity_regularizer is None:
            return outputs
        return keras.tree.map_structure(
            lambda x: keras.layers.Identity(
                activity_regularizer=layer.activity_regularizer, dtype=x.dtype
            )(x),
            outputs,
        )

    def call_layer(self, original: Any, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Takes the place of `Layer.__call__`.

        A layer that has weights is never run on plain numbers: what it gives would
        become a constant.
        """
        flat = _flat((args, kwargs))
        if self.inside or any(isinstance(x, keras.KerasTensor) for x in flat):
            return original(layer, *args, **kwargs)
        if not layer.variables:
            with self._closed_call(layer):
                return original(layer, *args, **kwargs)
        args, kwargs = keras.tree.map_structure(self._symbolic, (args, kwargs))
        return original(layer, *args, **kwargs)

    def _symbolic(self, value):
        if not is_array(value):
            return value
        value = np.asarray(value)
        tensor = keras.KerasTensor(value.shape, value.dtype.name)
        self.reads[id(tensor)] = value
        self._symbols[id(value)] = value, tensor
        return tensor

    def next_seed(self, original: Any, generator: Any, ordered: Any = True) -> Any:
        """Takes the place of `SeedGenerator.next`."""
        if self.inside:
            return original(generator, ordered)
        if ordered == (generator.state is global_state_variable()):
            raise NotFollowed(f"takes seeds of '{generator.name}' out of their order")
        tensor = keras.KerasTensor((2,), generator.state.dtype)
        self.reads[id(tensor)] = Seed(generator, self.drawn[generator])
        self.drawn[generator] += 1
        self._symbols[id(tensor)] = generator, tensor
        return tensor

    def draw(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        """Takes the place of a function of `keras.random`."""
        if self.inside or isinstance(kwargs.get("seed"), Given):
            return original(*args, **kwargs)
        return noted(original, args, kwargs, self._symbolic)

    def add_loss(self, original: Any, layer: Any, loss: Any) -> None:
        flat = keras.tree.flatten(loss)
        if self.inside or not _any_symbolic(flat):
            return original(layer, loss)
        self.losses += flat
        return None

    @contextlib.contextmanager
    def _patched(self):
        call, add_loss = keras.Layer.__call__, keras.Layer.add_loss
        maybe_build = keras.Layer._maybe_build
        value = keras_variables.Variable.value
        next_seed = SeedGenerator.next

        def build(layer, spec):
            if layer.built:
                return None
            with self._closed_call(layer):
                return maybe_build(layer, spec)

        def read(variable):
            if not self.inside:
                path = variable.path
                raise NotFollowed(f"reads or changes the value of '{path}' in Python")
            return value.fget(variable)

        patches = [
            (keras_layer, "Node", self.note),
            (keras_operation, "Node", self.note),
            (keras.Layer, "symbolic_call", lambda *a, **k: self.symbolic_call(*a, **k)),
            (keras.Layer, "__call__", lambda *a, **k: self.call_layer(call, *a, **k)),
            (keras.Layer, "add_loss", lambda *a: self.add_loss(add_loss, *a)),
            (keras.Layer, "_maybe_build", build),
            (keras_variables.Variable, "value", property(read)),
            (SeedGenerator, "next", lambda *a, **k: self.next_seed(next_seed, *a, **k)),
        ]
        for name in DRAWN:
            original = getattr(random, name)
            patches.append((random, name, functools.partial(self.draw, original)))
        for owner, name in chance.ASKED:
            new = chance.refusing(getattr(owner, name), lambda: not self.inside)
            patches.append((owner, name, new))
        with contextlib.ExitStack() as stack:
            # Filtered, errors would be wrapped in each layer that they pass.
            if keras.config.is_traceback_filtering_enabled():
                keras.config.disable_traceback_filtering()
                stack.callback(keras.config.enable_traceback_filtering)
            for owner, name, new in patches:
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, new)
            stack.enter_context(tensorflow_functions.accepted(lambda: not self.inside))
            stack.enter_context(as_tensorflow_takes_them())
            yield


@contextlib.contextmanager
def _padding_in_small(layer):
    """Keras' pooling runs with `"SAME"`, but knows the shape for `"same"` only."""
    padding = getattr(layer, "padding", None)
    small = small_padding(layer)
    if small:
        layer.padding = small
    try:
        yield
    finally:
        if small:
            layer.padding = padding


def _flat(value):
    return keras.tree.flatten(value)


def _as_now(value):
    """A copy of lists and dicts, to which a class may add later."""
    if type(value) in (list, tuple):
        return type(value)(map(_as_now, value))
    if type(value) is dict:
        return {k: _as_now(v) for k, v in value.items()}
    return value


def _any_symbolic(value):
    return any(isinstance(x, keras.KerasTensor) for x in _flat(value))
