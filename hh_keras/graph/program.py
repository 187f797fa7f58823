"""A model as a flat list of steps, to be run a few at a time.

What `calls.interpret` runs from beginning to end is here written down: what each call
reads and makes. Nested models are entered.
"""

import dataclasses
from typing import Any

import keras

from hh_keras.graph import calls
from hh_keras.graph.inference import infer


class Value:
    """A tensor of a program, known by identity."""


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One call of one operation.

    Attributes:
        path: name of the operation, those of the models around it before it.
        op: a layer or an operation.
        args, kwargs: what it is called with, a `Value` for each tensor.
        outputs: the values that it makes.
    """

    path: str
    op: Any
    args: tuple
    kwargs: dict
    outputs: list

    @property
    def reads(self) -> list[Value]:
        """The tensors among its arguments, in order."""
        flat = keras.tree.flatten((self.args, self.kwargs))
        return [value for value in flat if isinstance(value, Value)]

    def filled(self, tensors: dict) -> tuple:
        """`(args, kwargs)` with tensors for values."""
        return keras.tree.map_structure(
            lambda x: tensors[x] if isinstance(x, Value) else x,
            (self.args, self.kwargs),
        )

    def run(self, tensors: dict) -> None:
        """Adds the outputs' tensors, in inference, to those of the values before."""
        args, kwargs = self.filled(tensors)
        made = keras.tree.flatten(infer(self.op, args, kwargs))
        tensors.update(zip(self.outputs, made))


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """The steps of a model, and the values at its ends, flat."""

    inputs: list[Value]
    steps: list[Step]
    outputs: list[Value]


def program(model: keras.Model) -> Program:
    """The steps of a functional or Sequential model, in the order of execution."""
    steps: list[Step] = []

    def step(path, call, args, kwargs):
        outputs = [Value() for _ in call.outputs]
        steps.append(Step(path, call.op, args, kwargs, outputs))
        return outputs

    inputs = [Value() for _ in calls.as_graph(model).inputs]
    outputs = calls.interpret(model, inputs, step)
    return Program(inputs, steps, outputs)


def in_step(first: Program, second: Program) -> Program | None:
    """The second's steps in the order of the first's, of two networks of one graph.

    Keras may run branches that do not need each other in either order. A step's twin
    has its path and reads the twins of what it reads; None if there is not one for
    each.
    """
    twins = dict(zip(first.inputs, second.inputs))
    waiting, steps = list(second.steps), []
    for step in first.steps:
        reads = [twins.get(value) for value in step.reads]
        alike = (x for x in waiting if x.path == step.path and x.reads == reads)
        twin = next(alike, None)
        if twin is None:
            return None
        waiting.remove(twin)
        steps.append(twin)
        twins.update(zip(step.outputs, twin.outputs))
    return dataclasses.replace(second, steps=steps)
