"""What two runs of a model have in common: the graph, with the batch taken out.

The runs have different batch sizes, and only one of them is in training. A number that
is a multiple of the batch size in both, the same multiple, is the batch.
"""

import collections
import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.graph import calls
from hh_keras.graph.opening.draws import Draw
from hh_keras.graph.opening.extra_layers import AlongBatch
from hh_keras.graph.opening.following import Read, Seed, Step
from hh_keras.graph.opening.untrained import in_mode


class Differs(Exception):
    """A class does something else in the second run, so it has to stay closed."""

    def __init__(self, layer: Any, why: Any) -> None:
        super().__init__(why)
        self.layer, self.why = layer, why


@dataclasses.dataclass(frozen=True)
class Batch:
    """So many times the number of examples."""

    times: int


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """An array that says the same for every example."""

    row: Any
    times: int


_PRIVATE = {"name", "_inbound_nodes", "_outbound_nodes", "_auto_config", "_lock"}


def agree(first: Any, second: Any, batches: Any) -> tuple:
    """Merges two recordings of a model.

    Returns:
        `(steps, constants, untrained)`: the steps of the first run, numbers that are
        the batch replaced; id of a symbolic tensor → the array that it stands for; id
        of an operation that is always called with the same `training` → that.

    Raises:
        Differs: the runs do not agree; `layer` is the innermost class around it.
    """
    merge = Merge(first, second, batches)
    own = [collections.Counter(s.scope[-1] for s in r.steps) for r in (first, second)]
    for layer in {**own[0], **own[1]}:
        if own[0][layer] != own[1][layer]:
            raise Differs(layer, merge.changed)
    steps = []
    for a, b in zip(first.steps, second.steps):
        if a.scope != b.scope:
            shared = [x for x, y in zip(a.scope, b.scope) if x is y]
            raise Differs(shared[-1], f"{merge.changed}: {a.line}")
        steps.append(merge.step(a, b))
    outputs = [keras.tree.flatten(r.outputs) + r.losses for r in (first, second)]
    merge.scope, merge.line = (first.model,), ""
    merge.values(*outputs)
    return steps, merge.constants, merge.of_one_mode()


class Merge:
    """The merging of two recordings, step by step."""

    changed = "does something else in training, or from call to call"

    def __init__(self, first, second, batches):
        self.first, self.second = first, second
        self.batches = batches
        self.tensors = {}  # id of a tensor of the second run → that of the first
        self.constants = {}
        self.trained = set()  # ids of operations that are called in training
        self.fixed = {}  # operation with its own `training` → (that, the class around)
        self.scope = ()
        self.line = ""
        flat = (keras.tree.flatten(r.inputs) for r in (first, second))
        self._pair(*flat)

    def _pair(self, ours, theirs):
        self.tensors.update((id(y), x) for x, y in zip(ours, theirs))

    def differs(self, why: Any = None) -> Any:
        line = f": {self.line}" if self.line else ""
        return Differs(self.scope[-1], f"{why or self.changed}{line}")

    def step(self, a: Any, b: Any) -> Any:
        self.scope, self.line = a.scope, a.line
        if len(a.outputs) != len(b.outputs) or type(a.op) is not type(b.op):
            raise self.differs()
        kwargs = {k: v for k, v in a.kwargs.items() if k != "training"}
        others = {k: v for k, v in b.kwargs.items() if k != "training"}
        handed = self._training(a, b)
        args = self.values(a.args, b.args)
        kwargs = self.values(kwargs, others)
        op = self._operation(a, b)
        self._pair(a.outputs, b.outputs)
        step = Step(op, args, {**kwargs, **handed}, a.outputs, a.scope, a.line)
        if isinstance(op, Draw) and any((n or 0) < 0 for n in op.shape or ()):
            step.kwargs["like"] = self.first_input
        if isinstance(op, AlongBatch):
            step.args = (args[0], self.first_input)
            step.kwargs = {}
        elif _markers((args, kwargs)):
            raise self.differs("computes with the number of examples")
        return step

    @property
    def first_input(self) -> Any:
        return keras.tree.flatten(self.first.inputs)[0]

    def _training(self, a, b):
        """What is handed on is the context's; a graph has no other training mode.

        Two runs in the same mode keep what they hand on for those of the other mode.
        """
        seen = [s.kwargs.get("training") for s in (a, b)]
        runs = [self.first.training, self.second.training]
        if runs[0] == runs[1] and seen[0] == seen[1]:
            return {} if seen[0] is None else {"training": seen[0]}
        if seen in (runs, [None, None]):
            if seen == runs:
                self.trained.add(id(a.op))
            return {}
        if isinstance(seen[0], bool) and seen[0] == seen[1]:
            self.fix(a.op, seen[0])
            return {}
        why = f"calls '{a.op.name}' with training=something of its own"
        raise self.differs(why)

    def fix(self, op: Any, training: Any) -> None:
        """Notes that an operation is always in training, or never."""
        before = self.fixed.setdefault(op, (training, self.scope[-1]))[0]
        new = in_mode(op, training)
        if new is None:
            raise self.differs(f"calls '{op.name}' with training={training}")
        if before != training and new is not op:
            raise self.differs(f"calls '{op.name}' with training=True, and with False")

    def of_one_mode(self) -> dict:
        """Id of each operation that always has the same `training` → that.

        Raises:
            Differs: one of them is also called otherwise, which no copy could do.
        """
        for op, (training, layer) in self.fixed.items():
            if id(op) in self.trained and in_mode(op, training) is not op:
                why = f"calls '{op.name}' with training={training}, and without"
                raise Differs(layer, why)
        return {id(op): training for op, (training, _) in self.fixed.items()}

    def _operation(self, a, b):
        if a.op is b.op:
            return a.op
        if calls.is_layer(a.op):
            if a.op.variables or _config(a.op) != _config(b.op):
                raise self.differs(f"makes a new {type(a.op).__name__} in every call")
            return a.op
        ours, theirs = (
            {k: v for k, v in vars(op).items() if k not in _PRIVATE}
            for op in (a.op, b.op)
        )
        merged = self.values(ours, theirs)
        return self._sized(a, b) if _markers(merged) else a.op

    def _sized(self, a, b):
        """An operation that has the batch among its numbers."""
        kind = type(a.op).__name__
        if isinstance(a.op, Draw):
            return self._drawn(a.op, b.op)
        shape = self.values(tuple(a.outputs[0].shape), tuple(b.outputs[0].shape))
        whole = [n for n in shape if not isinstance(n, Batch)]
        if kind == "Reshape" and len(whole) == len(shape) - 1:
            if None not in whole:
                sizes = [-1 if isinstance(n, Batch) else n for n in shape]
                return type(a.op)(sizes)
            if shape[0] == Batch(1) and whole.count(None) == 1:
                return keras.layers.Reshape([-1 if n is None else n for n in whole])
        x = next(iter(keras.tree.flatten((a.args, a.kwargs))))
        if isinstance(shape[0], Batch) and len(whole) == len(shape) - 1:
            one = x.shape[0] == 1 and tuple(x.shape[1:]) == tuple(shape[1:])
            if kind == "BroadcastTo" or (kind in ("Tile", "Repeat") and one):
                return AlongBatch(whole, shape[0].times)
        raise self.differs(f"computes with the number of examples (ops.{kind.lower()})")

    def _drawn(self, a, b):
        arguments = self.values(a.arguments, b.arguments)
        if _markers(arguments):
            raise self.differs(f"draws numbers by the batch (random.{a.function})")
        sizes = self.values(a.shape, b.shape)
        sizes = [-n.times if isinstance(n, Batch) else n for n in sizes]
        return type(a)(a.function, sizes, arguments)

    def values(self, x: Any, y: Any) -> Any:
        if isinstance(x, keras.KerasTensor):
            return self._tensor(x, y)
        if isinstance(x, (list, tuple)) and isinstance(y, (list, tuple)):
            if len(x) != len(y):
                raise self.differs()
            merged = [self.values(p, q) for p, q in zip(x, y)]
            return merged if isinstance(x, list) else tuple(merged)
        if isinstance(x, dict) and isinstance(y, dict):
            if set(x) != set(y):
                raise self.differs()
            return {k: self.values(v, y[k]) for k, v in x.items()}
        if isinstance(x, slice) and isinstance(y, slice):
            parts = zip((x.start, x.stop, x.step), (y.start, y.stop, y.step))
            return slice(*(self.values(p, q) for p, q in parts))
        if isinstance(x, (np.ndarray, np.generic)) or tf.is_tensor(x):
            return self._array(x, y)
        if x is y or type(x) is not type(y):
            if x is y:
                return x
            raise self.differs()
        if isinstance(x, int) and not isinstance(x, bool) and x != y:
            return self._number(x, y)
        if x != y:
            raise self.differs()
        return x

    def _tensor(self, x, y):
        if not isinstance(y, keras.KerasTensor):
            raise self.differs()
        if self.tensors.get(id(y)) is x:
            return x
        ours, theirs = self.first.reads.get(id(x)), self.second.reads.get(id(y))
        if isinstance(ours, (Read, Seed)) and type(ours) is type(theirs):
            if ours.same(theirs):
                return x
        elif ours is not None and theirs is not None:
            self.constants[id(x)] = self._array(ours, theirs)
            return x
        raise self.differs()

    def _number(self, x, y):
        m, n = self.batches
        if x % m == 0 and y % n == 0 and x // m == y // n:
            return Batch(x // m)
        raise self.differs()

    def _array(self, x, y):
        if isinstance(y, keras.KerasTensor):
            raise self.differs()
        a, b = np.asarray(x), np.asarray(y)
        if a.shape == b.shape and a.dtype == b.dtype:
            if a.tobytes() == b.tobytes():
                return x
            if a.ndim == 0 and np.issubdtype(a.dtype, np.integer):
                return self._number(int(a), int(b))
        elif a.ndim == b.ndim > 0 and a.shape[1:] == b.shape[1:] and len(a):
            batch = self._number(len(a), len(b))
            if (a == a[:1]).all() and (b == a[:1]).all():
                return Rows(a[:1], batch.times)
            both = min(len(a), len(b))
            if (a[:both] == b[:both]).all():
                raise self.differs("computes with the number of examples")
        raise self.differs("makes other numbers in training, or anew in every call")


def _markers(value):
    flat = keras.tree.flatten(value)
    return any(isinstance(x, Batch) for x in flat)


def _config(layer):
    config = layer.get_config()
    config.pop("name", None)
    return config
