"""Steps that were noted become a functional model, with copies of the layers."""

import collections
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras.src import backend
from keras.src.layers.merging.base_merge import Merge
from keras.src.ops.core import Cast

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.graph.opening.agreement import Differs, Rows
from hh_keras.graph.opening.copies import (
    new_layer,
    new_operation,
    take_over,
    variable_pairs,
)
from hh_keras.graph.opening.draws import Seeds, global_state_variable
from hh_keras.graph.opening.extra_layers import (
    AddLoss,
    AlongBatch,
    Constant,
    Weight,
    WithMask,
    approximate_gelu,
)
from hh_keras.graph.opening.following import Read, Seed, Step
from hh_keras.graph.opening.kernels import products
from hh_keras.graph.opening.naming import Names
from hh_keras.graph.opening.openable import dense, held, of_keras
from hh_keras.graph.opening.tensorflow_functions import TensorFlowFunction
from hh_keras.graph.opening.untrained import in_mode


class Assembled(NamedTuple):
    """A model that was made of steps.

    Attributes:
        model: the functional model.
        weights: `(path, layer)` of the weights that became layers.
        pairs: `(variable of the original, its copy)`.
        steady: those pairs whose layers are called once. A layer that is called twice
            updates its statistics in an order that only Keras decides.
        copies: id of an operation that was noted → that of the model.
    """

    model: keras.Model
    weights: tuple
    pairs: list
    steady: list
    copies: dict


def assemble(
    recording: Any, steps: Any, constants: Any, fixed: Any, inputs: Any
) -> Any:
    """Makes the functional model of a recording.

    Args:
        recording: the `Recording` whose tensors the steps speak of.
        steps: list of `Step`, the numbers of the batch replaced.
        constants: id of a symbolic tensor → the array that it stands for.
        fixed: id of an operation that is always in training, or never → whether it is.
        inputs: structure of `keras.Input` tensors, as that of the recording.

    Returns:
        An `Assembled`.

    Raises:
        Differs: a class uses a weight in a way that has no layer, or one that it does
            not hold.
        ModelError: a layer cannot be made again.
    """
    return _Assembly(recording, steps, constants, fixed, inputs).model()


# Keras' layers that ask tensors for their masks, whatever masks they are given.
_READ_MASKS = (keras.layers.MultiHeadAttention, Merge)


class _Assembly:
    def __init__(self, recording, steps, constants, fixed, inputs):
        self.fixed = fixed
        self.recording, self.constants, self.inputs = recording, constants, inputs
        self.anchor = keras.tree.flatten(inputs)[0]
        olds = keras.tree.flatten(recording.inputs)
        self.values = {id(t): x for t, x in zip(olds, keras.tree.flatten(inputs))}
        self.ends = keras.tree.flatten((recording.outputs, recording.losses))
        self.masks = [
            m for m in map(backend.get_keras_mask, self.ends) if m is not None
        ]
        self.steps = _needed(steps, [*self.ends, *self.masks])
        self.made = {}  # id of an operation → its copy
        self.pairs, self.weights = [], []
        self.seeds, self.states = {}, []
        self.own_leaves = any(
            isinstance(op, TensorFlowFunction)
            or (calls.is_layer(op) and not of_keras(op))
            for op in (step.op for step in self.steps)
        )
        self.names = Names(
            x._keras_history.operation.name for x in self.values.values()
        )
        used = [(step.args, step.kwargs) for step in self.steps]
        self.uses = collections.Counter(id(x) for x in keras.tree.flatten(used))
        self.owners = {
            id(v): step.op
            for step in self.steps
            if calls.is_layer(step.op)
            for v in step.op.variables
        }
        self.products, self.spent = products(
            self.steps, recording.reads, self.owners, self.uses
        )

    def model(self) -> Any:
        for step in self.steps:
            if id(step) in self.spent:
                continue
            layer, (args, kwargs) = self._layer(step)
            outputs = layer(*args, **kwargs)
            flat = keras.tree.flatten(outputs)
            wrong = dense(flat, keras.tree.flatten((args, kwargs)))
            if wrong and self.own_leaves:
                flat = [self._as_dense(x, step.scope) for x in flat]
            self.values.update((id(t), x) for t, x in zip(step.outputs, flat))
        model = self._functional(self._outputs())
        _in_order(model)
        pairs, steady = self._variables()
        turned = {
            id(layer.weights[0]) for _, layer, is_turned in self.weights if is_turned
        }
        take_over(model, pairs, turned)
        weights = [(read.variable.path, layer.name) for read, layer, _ in self.weights]
        return Assembled(model, tuple(weights), pairs, steady, self.made)

    def _variables(self):
        """Pairs of the original's variables and their copies: all, and the steady."""
        times = collections.Counter(id(step.op) for step in self.steps)
        pairs, steady = [], []
        for old, new in self.pairs:
            found = variable_pairs(old, new)
            pairs += found
            steady += found if times[id(old)] == 1 else []
        weights = [(read.variable, layer.weights[0]) for read, layer, _ in self.weights]
        return [*pairs, *self.states, *weights], [*steady, *self.states]

    def _functional(self, outputs):
        name = self.recording.model.name
        try:
            return keras.Model(self.inputs, outputs, name=name)
        except ValueError as error:  # Keras 3.12
            flat = keras.tree.flatten(self.inputs)
            ops = [x._keras_history.operation for x in flat]
            unread = [f"'{op.name}'" for op in ops if not op._outbound_nodes]
            if "not connected" not in str(error) or not unread:
                raise
            raise ModelError(
                f"nothing reads its input {', '.join(unread)}, and Keras "
                f"{keras.__version__} has no such functional model; call it without "
                "that, or take Keras 3.15.1 or later (Python 3.11 or later)."
            ) from error

    def _as_dense(self, x, scope):
        """Makes a graph that is made again, by Keras, know that a tensor is dense.

        A user's layer may not take another, and Keras asks it for a shape.
        """
        return Cast(x.dtype, name=self.names.within(scope, "dense"))(x)

    def _outputs(self):
        scope = (self.recording.model,)
        struct = self.recording.outputs
        flat = [self._output(x, scope) for x in keras.tree.flatten(struct)]
        for loss in self.recording.losses:
            layer = AddLoss(name=self.names.free("loss"))
            flat[0] = layer(flat[0], self._filled(loss, scope))
        outputs = keras.tree.pack_sequence_as(struct, flat)
        return outputs

    def _output(self, old, scope):
        if not isinstance(old, keras.KerasTensor):
            if old is None:
                raise ModelError(
                    f"model '{self.recording.model.name}' returns None among its "
                    "outputs; a functional model has tensors only."
                )
            return self._constant(np.asarray(old), scope, "output")
        return self._masked(old, scope)

    def _masked(self, old, scope):
        """The new tensor with the mask that the old one has."""
        new, mask = self._filled(old, scope), backend.get_keras_mask(old)
        if mask is not None and backend.get_keras_mask(new) is None:
            layer = WithMask(name=self.names.free("with_mask"))
            new = layer(new, self._filled(mask, scope))
        return new

    def _filled(self, value, scope):
        """Puts the new tensors in the places of the noted ones, in any structure."""
        if isinstance(value, (list, tuple)):
            return type(value)([self._filled(v, scope) for v in value])
        if isinstance(value, dict):
            return {k: self._filled(v, scope) for k, v in value.items()}
        if isinstance(value, Rows):
            return self._constant(value, scope, "constant")
        if isinstance(value, keras.Variable):
            raise self._hidden(value, scope)
        if isinstance(value, tf.Variable):
            return tf.identity(value)  # what is made is no part of the original
        if not isinstance(value, keras.KerasTensor):
            return value
        if id(value) not in self.values:
            self.values[id(value)] = self._source(value, scope)
        return self.values[id(value)]

    def _hidden(self, variable, scope):
        why = f"uses weight '{variable.path}', which no layer names or holds in a list"
        return Differs(scope[-1], f"{why}, dict or tuple of its own")

    def _source(self, tensor, scope):
        """A tensor that comes from no step: a weight, or a constant."""
        read = self.recording.reads.get(id(tensor))
        if id(tensor) in self.constants:
            return self._constant(self.constants[id(tensor)], scope, "constant")
        if isinstance(read, Seed):
            return self._seed(read, scope)
        if not isinstance(read, Read):
            raise Differs(scope[-1], "keeps a tensor from one call to the next")
        owner = self.owners.get(id(read.variable))
        if owner is not None:
            return self._shared(owner, read, scope)
        v = read.variable
        layer = Weight(
            v.shape,
            v._dtype,
            v.regularizer,
            v.constraint,
            dtype=read.layer.dtype_policy,
            trainable=v.trainable and read.layer.trainable,
            name=self.names.within(scope, read.name, read.layer),
        )
        self.weights.append((read, layer, False))
        return layer(self.anchor)

    def _seed(self, read, scope):
        generator = read.generator
        owner = self.owners.get(id(generator.state))
        if owner is not None:
            raise Differs(scope[-1], f"draws from the generator of '{owner.name}'")
        if generator not in self.seeds:
            keras_own = generator.state is global_state_variable()
            layer = Seeds(
                [run[generator] for run in self.recording.draws],
                None if keras_own else (0, 0),
                name=self.names.within(scope, "seeds"),
            )
            self.seeds[generator] = layer(self.anchor)
            if not keras_own:
                self.states.append((generator.state, layer.generator.state))
        return self.seeds[generator][read.number]

    def _shared(self, owner, read, scope):
        """A weight that its own layer uses too: what that gives for every index."""
        if isinstance(owner, keras.layers.Embedding) and not owner.mask_zero:
            indices = np.arange(owner.input_dim, dtype="int32")
            indices = self._constant(indices, scope, "indices")
            return self._copy(Step(owner, (), {}, [], scope))(indices)
        raise Differs(scope[-1], f"uses a weight of layer '{owner.name}' beside it")

    def _constant(self, value, scope, name):
        rows = isinstance(value, Rows)
        array = np.asarray(value.row if rows else value)
        x = Constant(array, array.dtype.name, name=self.names.within(scope, name))(
            self.anchor
        )
        if not rows:
            return x
        name = self.names.within(scope, "along_batch")
        return AlongBatch(array.shape[1:], value.times, name=name)(x, self.anchor)

    def _layer(self, step):
        """The copy of an operation and its arguments; of some products, a layer."""
        product = self.products.get(id(step))
        if product is None:
            filled = self._filled((step.args, step.kwargs), step.scope)
            if isinstance(step.op, _READ_MASKS):
                filled = keras.tree.map_structure(
                    lambda x: (self._masked if _symbolic(x) else self._filled)(
                        x, step.scope
                    ),
                    (step.args, step.kwargs),
                )
            return self._copy(step), filled
        kernel = product.kernel
        if id(kernel.read.variable) not in self.made:
            name = self.names.within(step.scope, kernel.read.name, kernel.read.layer)
            layer = product.layer(name)
            self.made[id(kernel.read.variable)] = layer
            self.weights.append((kernel.read, layer, kernel.turned))
        layer = self.made[id(kernel.read.variable)]
        return layer, (self._filled(step.args[:1], step.scope), {})

    def _copy(self, step):
        op = step.op
        if id(op) not in self.made:
            name = self.names.of(op, step.scope)
            if calls.is_layer(op):
                new = in_mode(op, self.fixed[id(op)]) if id(op) in self.fixed else op
                new = new_layer(op) if new is op else new
                for each in new._flatten_layers():
                    if getattr(each, "activation", None) is keras.ops.gelu:
                        each.activation = approximate_gelu
                self.pairs.append((op, new))
            else:
                for each in held(vars(op)):
                    if isinstance(each, keras.Variable):
                        raise self._hidden(each, step.scope)
                new = new_operation(op)
            new.name = name
            self.made[id(op)] = new
        return self.made[id(op)]


def _symbolic(value):
    return isinstance(value, keras.KerasTensor)


def _in_order(model):
    """Shared layers that keep statistics update them in the order of the class.

    Among calls that do not depend on each other Keras has an order of its own.
    """
    for nodes in model._nodes_by_depth.values():
        nodes.sort(key=lambda node: node.operation._inbound_nodes.index(node))


def _needed(steps, ends):
    """The steps that outputs and losses depend on, in their order."""
    wanted = {id(x) for x in ends}
    kept = []
    for step in reversed(steps):
        if any(id(x) in wanted for x in step.outputs):
            kept.append(step)
            wanted.update(id(x) for x in keras.tree.flatten((step.args, step.kwargs)))
    return kept[::-1]
