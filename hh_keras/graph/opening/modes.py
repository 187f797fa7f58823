"""Classes that do something else in training: both ways in one graph.

What a class does outside training and what it does in training are two lists of steps.
They are laid side by side; steps that are the same are one step, the others stay in the
mode that they belong to, and where the two ways meet again stands an `InTraining`.
"""

import difflib
from typing import Any

import keras
import numpy as np

from hh_keras.graph import calls
from hh_keras.graph.opening.agreement import Differs, Merge, Rows, agree
from hh_keras.graph.opening.draws import Draw
from hh_keras.graph.opening.following import Step
from hh_keras.graph.rules import Effect, register_rule
from hh_keras.graph.rules.merging import tie_broadcast


@keras.saving.register_keras_serializable(package="hh_keras")
class InTraining(keras.layers.Layer):
    """Passes its first input on; in training its second."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._convert_input_args = False
        self.supports_masking = True

    def call(self, x: Any, other: Any, training: Any = None) -> Any:
        return other if training else x

    def compute_output_spec(self, x: Any, other: Any, training: Any = None) -> Any:
        return keras.KerasTensor(x.shape, x.dtype)

    def compute_mask(self, x: Any, previous_mask: Any = None) -> Any:
        return previous_mask[0] if isinstance(previous_mask, list) else previous_mask


@register_rule(InTraining)
def _in_training(layer, call):
    return Effect(tie_broadcast(call, call.inputs))


def agree_by_mode(usual: Any, training: Any, batches: Any) -> tuple:
    """As `agree`, for classes that do something else in training.

    Args:
        usual: two recordings outside training, with the two batch sizes.
        training: two in training.

    Returns:
        As `agree`. The first recording speaks for both modes afterwards.

    Raises:
        Differs: what is done in one mode alone changes something that stays.
    """
    first, second = usual[0], training[0]
    (mine, constants, _), (theirs, others, _) = (
        agree(one, other, batches) for one, other in (usual, training)
    )
    modes = _Modes(first, second, (batches[0], batches[0]))
    first.reads.update(second.reads)
    first.opened.update(second.opened)
    first.also = second  # the ids of its tensors are theirs as long as it lives
    modes.lay_side_by_side(mine, theirs)
    constants = {**modes.constants, **others, **constants}
    return modes.steps, constants, modes.of_one_mode()


class _Modes(Merge):
    """The merging of what is done outside training with what is done in it."""

    changed = "does something else in training that no graph can"

    def __init__(self, first, second, batches):
        super().__init__(first, second, batches)
        self.steps: list = []
        self._switched: dict = {}
        self._scopes: dict = {}  # id of a tensor → where it was made
        weights = {k: t for k, (_, t) in first._symbols.items()}
        same = second._symbols.items()
        self.tensors.update((id(t), weights[k]) for k, (_, t) in same if k in weights)

    def lay_side_by_side(self, mine: list, theirs: list) -> None:
        for step in (*mine, *theirs):
            self._scopes.update((id(t), step.scope) for t in step.outputs)
        keys = [list(map(_key, steps)) for steps in (mine, theirs)]
        blocks = difflib.SequenceMatcher(a=keys[0], b=keys[1], autojunk=False)
        for what, i, j, k, m in blocks.get_opcodes():
            if what == "equal":
                for a, b in zip(mine[i:j], theirs[k:m]):
                    self._both(a, b)
                continue
            for a in mine[i:j]:
                self._alone(a, False)
            for b in theirs[k:m]:
                self._alone(b, True)
        self.scope, self.line = (self.first.model,), ""
        first, second = self.first, self.second
        first.outputs = self.values(first.outputs, second.outputs)
        theirs = [self._ours(x) for x in second.losses]
        known = [{id(x) for x in losses} for losses in (first.losses, theirs)]
        first.losses = [
            *(x if id(x) in known[1] else self._loss(x, False) for x in first.losses),
            *(self._loss(x, True) for x in theirs if id(x) not in known[0]),
        ]

    def _loss(self, x, training):
        """A loss of one mode; it is 0 in the other."""
        if tuple(x.shape):
            raise Differs(self._place(x)[-1], "adds a loss in one mode only")
        zero = keras.KerasTensor((), x.dtype)
        self.constants[id(zero)] = np.zeros((), x.dtype)
        return self._switch(*((zero, x) if training else (x, zero)))

    def _both(self, a, b):
        try:
            self.steps.append(self.step(a, b))
        except Differs:
            if calls.is_layer(a.op):
                raise
            self._alone(a, False)
            self._alone(b, True)

    def _alone(self, step, training):
        """A step of one mode is made in both, so it must not change anything."""
        self.scope, self.line = step.scope, step.line
        handed = step.kwargs.get("training")
        inner = step.op._flatten_layers() if calls.is_layer(step.op) else ()
        for layer in inner:
            what = "in training only" if training else "outside training only"
            if layer.activity_regularizer or not _harmless(layer, training):
                raise self.differs(f"calls '{layer.name}' {what}")
        if handed is True and training:
            self.trained.add(id(step.op))
        elif handed not in (None, training):
            self.fix(step.op, handed)
        kwargs = {k: v for k, v in step.kwargs.items() if k != "training"}
        args, kwargs = self._ours((step.args, kwargs))
        op = step.op
        if isinstance(op, Draw) and training:
            op = Draw(op.function, op.shape, op.arguments, in_training=True)
        self.steps.append(Step(op, args, kwargs, step.outputs, step.scope, step.line))

    def _ours(self, value):
        return keras.tree.map_structure(lambda y: self.tensors.get(id(y), y), value)

    def values(self, x: Any, y: Any) -> Any:
        if isinstance(x, Rows) and isinstance(y, Rows):
            if x.times == y.times and np.array_equal(x.row, y.row):
                return x
        return super().values(x, y)

    def _tensor(self, x, y):
        try:
            return super()._tensor(x, y)
        except Differs:
            alike = isinstance(y, keras.KerasTensor) and x.dtype == y.dtype
            if not alike or tuple(x.shape) != tuple(y.shape):
                raise Differs(self._place(y, x)[-1], self.changed) from None
        return self._switch(x, self._ours(y))

    def _switch(self, x, other):
        key = id(x), id(other)
        if key not in self._switched:
            tensor = keras.KerasTensor(x.shape, x.dtype)
            step = Step(InTraining(), (x, other), {}, [tensor], self._place(other, x))
            self.steps.append(step)
            self._switched[key] = step
        return self._switched[key].outputs[0]

    def _place(self, *tensors):
        """The classes around the step that made one of these tensors."""
        made = [self._scopes[id(t)] for t in tensors if id(t) in self._scopes]
        return made[0] if made else self.scope


def _key(step):
    """What steps of the two modes have in common if they may be one."""
    known = calls.is_layer(step.op) and step.op.variables
    kind = id(step.op) if known else type(step.op).__name__
    function = getattr(step.op, "function", None)
    return tuple(map(id, step.scope)), kind, function


def _harmless(layer, training):
    """Whether a call changes nothing in the other mode, what it holds left aside."""
    if calls.is_graph(layer) or not layer.non_trainable_variables:
        return True
    return training and type(layer).__module__.startswith("keras.src.layers.")
