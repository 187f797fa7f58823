"""The subject of a trial: copies of one operation, and random inputs for them."""

import contextlib
import io
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from hh_keras.graph.calls import is_layer
from hh_keras.graph.cloning import clone_op
from hh_keras.graph.ids import IdTensor
from hh_keras.graph.weights import variables

TOLERANCE = 1e-6  # of the outputs' spread
SECONDS = 10  # a trial that takes longer is given up
_EXAMPLES = 2
_UNKNOWN = 6  # stands for sizes that are not known
_MOST = 3_000_000  # numbers in the tensors of a trial


class Unproved(Exception):
    """What a trial saw that speaks against letting channels leave."""


class Subject:
    """One operation, with random inputs of the shapes of one call.

    Attributes:
        op, call: the operation, which is not changed, and its `RuleCall`.
        varying: positions of the inputs that hold channels.
        axis: for each input the axis on which they lie.
        size: how many channels there are; None if no input has any.
        values: one array for each input.
    """

    def __init__(self, op: Any, call: Any) -> None:
        self.op, self.call = op, call
        if not call.inputs:
            raise Unproved("takes no tensors")
        self.varying = [i for i, x in enumerate(call.inputs) if x.varying]
        if any(len(call.inputs[i].varying) > 1 for i in self.varying):
            raise Unproved("channels lie on several axes")
        self.axis: list = [x.varying[0] if x.varying else None for x in call.inputs]
        self._until = time.monotonic() + SECONDS
        self._rng = np.random.default_rng(0)
        self._between: tuple | None = None
        self.values = [self._draw(x) for x in call.inputs]
        sizes = {self.values[i].shape[self.axis[i]] for i in self.varying}
        if len(sizes) > 1:
            raise Unproved("takes different numbers of channels")
        self.size: Any = sizes.pop() if sizes else None

    def _draw(self, x, scale=1.0):
        shape = [_EXAMPLES if i == 0 else n or _UNKNOWN for i, n in enumerate(x.shape)]
        shape[:1] = [x.shape[0] or _EXAMPLES] if x.shape else []
        if np.prod(shape) > _MOST:
            raise Unproved("takes tensors too large to be tried")
        kind = np.dtype(x.dtype if x.dtype != "bfloat16" else "float32").kind
        if kind == "b":
            return self._rng.random(shape) < 0.5
        if kind == "c":
            real, imaginary = self._rng.normal(0, scale, (2, *shape))
            return (real + 1j * imaginary).astype(x.dtype)
        if kind in "iu":
            return self._rng.integers(0, 3, shape).astype(x.dtype)
        if self._between:
            return self._rng.uniform(*self._between, shape).astype("float32")
        return self._rng.normal(0, scale, shape).astype("float32")

    def finite_outputs(self, op: Any) -> list:
        """The outputs on numbers that it is made for: logarithms want positive ones."""
        for self._between in (None, (0.05, 0.95), (1.05, 3.0)):
            self.values = [self._draw(x) for x in self.call.inputs]
            outputs = self.run(op, self.values)
            if all(np.isfinite(y).all() for y in outputs if y.dtype.kind == "f"):
                return outputs
        raise Unproved("gives NaN or infinity on random numbers")

    def scaled(self, scale: float) -> list:
        """The inputs at another scale: what saturates, or clips, shows there."""
        return [
            v * np.float32(scale) if v.dtype.kind == "f" else v for v in self.values
        ]

    def changed(self, values: list, chosen: np.ndarray, scale: float) -> list:
        """The inputs with other numbers, of a scale, in the chosen channels."""
        values = list(values)
        for i in self.varying:
            other = self._draw(self.call.inputs[i], scale)
            values[i] = np.where(along(chosen, self.axis[i], other), other, values[i])
        return values

    def kept(self, keep: np.ndarray) -> list:
        """The inputs with the kept channels only."""
        return [
            np.take(v, keep, self.axis[i]) if i in self.varying else v
            for i, v in enumerate(self.values)
        ]

    def as_if_varying(self) -> bool:
        """Takes the last axis of the first input for its channels, if it has some.

        Integers are looked up in a table: they are positions.
        """
        size = self.call.x.shape[-1] if self.call.x.rank > 1 else None
        if not size or size < 2 or self.values[0].dtype.kind in "iu":
            return False
        self.size, self.axis = size, [v.ndim - 1 for v in self.values]
        self.varying = [
            i for i, v in enumerate(self.values) if v.ndim > 1 and v.shape[-1] == size
        ]
        return True

    def as_fixed(self) -> None:
        """Takes that back."""
        self.varying, self.size = [], None

    def copy(self, changes: dict, values: list) -> Any:
        """A copy of the layer, built on `values`, with weights of its own."""
        new = clone_op(self.op, changes)
        if is_layer(new) and not new.built:
            self.run(new, values)
        state = variables(new)
        for name, variable in variables(self.op).items():
            mine = state.get(name)
            if mine is None or mine.shape != variable.shape:
                continue
            value = keras.ops.convert_to_numpy(variable)
            if "float" in str(variable.dtype):
                value = value.astype("float32")
                noise = np.random.default_rng(len(name)).uniform(-0.3, 0.3, value.shape)
                value = value + noise * (0.2 + np.abs(value))
            mine.assign(value)
        return new

    def run(self, op: Any, values: list, training: bool | None = None) -> list:
        """The outputs of `op` in place of the operation, a list of arrays.

        What training changes in it is taken back.
        """
        self._in_time()
        left = iter(values)

        def fill(x):
            if isinstance(x, IdTensor):
                x = next(left)
            return keras.ops.convert_to_tensor(x) if isinstance(x, np.ndarray) else x

        given = self.call.args, self.call.kwargs
        args, kwargs = keras.tree.map_structure(fill, given)
        before = [(v, v.numpy()) for v in op.variables] if training else []
        if training is not None:
            kwargs = {**kwargs, "training": training}
        # Whatever a layer prints is not the user's concern.
        with contextlib.redirect_stdout(io.StringIO()):
            outputs = op(*args, **kwargs)
        for variable, value in before:
            variable.assign(value)
        return [keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(outputs)]

    def subsets(self, size: int) -> list:
        """Sets of kept channels, of several sizes from one to all but one."""
        self._in_time()
        some = {1, size // 4, size // 2, size - size // 4, size - 1}
        # As many as positions: Keras takes arrays for one or the other by their length.
        some |= {n for v in self.values for n in v.shape[1:] if n < size}
        counts = sorted(n for n in some if 0 < n < size)
        return [np.sort(self._rng.permutation(size)[:n]) for n in counts]

    def widened(self, size: int) -> np.ndarray:
        """Every channel twice."""
        return np.repeat(np.arange(size), 2)

    def _in_time(self):
        if time.monotonic() > self._until:
            raise Unproved(f"takes longer than {SECONDS} s to be tried")

    def sizes_in_config(self, size: int) -> Iterator[tuple]:
        """Entries that may say how many channels there are: none, all, one by one.

        Yields:
            Tuples of keys.
        """
        self._in_time()
        if is_layer(self.op):
            try:
                entries = self.op.get_config()
            except Exception:  # it has none
                entries = {}
        else:
            entries = vars(self.op)
        keys = [k for k, v in entries.items() if type(v) is int and v == size]
        keys.sort(key=lambda k: k not in ("filters", "units"))
        yield ()
        yield from ((key,) for key in keys)
        if len(keys) > 1:
            yield tuple(keys)


def along(vector: np.ndarray, axis: int, like: np.ndarray) -> np.ndarray:
    """A vector laid along one axis of arrays like that one."""
    shape = [1] * like.ndim
    shape[axis] = -1
    return vector.reshape(shape)


def equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where numbers are equal, NaN to NaN."""
    return (a == b) | ((a != a) & (b != b))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal bit for bit."""
    return a.shape == b.shape and bool(np.all(equal(a, b)))


def check_close(wanted: np.ndarray, got: np.ndarray, whole: np.ndarray) -> None:
    """Raises Unproved unless arrays agree to 1e-6 of the spread of the whole output."""
    if wanted.shape != got.shape:
        raise Unproved(
            f"on fewer channels gives shape {got.shape[1:]}, not {wanted.shape[1:]}"
        )
    if wanted.dtype.kind != "f":
        close = same(wanted, got)
    else:
        spread = max(float(np.ptp(whole)), 1e-12)
        close = float(np.abs(wanted - got).max()) <= TOLERANCE * spread
    if not close:
        raise Unproved("built on fewer channels gives other numbers")


def cut_weights(big: Any, small: Any, side: str, size: int, keep: np.ndarray) -> dict:
    """Gives a smaller layer the kept part of a bigger one's weights.

    Args:
        big, small: layers of one class.
        side: "in" or "out", a name for the channels that were removed.
        size: how many there are in `big`.
        keep: positions of those that `small` has.

    Returns:
        Weight name → for each axis `side` or None, of the weights that were cut.
    """
    found, mine = {}, variables(small)
    for name, variable in variables(big).items():
        value, target = keras.ops.convert_to_numpy(variable), mine.get(name)
        if target is None or len(target.shape) != value.ndim:
            raise Unproved("made again from its config has other weights")
        cut = [n != m for n, m in zip(value.shape, target.shape)]
        for axis in np.flatnonzero(cut):
            if (value.shape[axis], target.shape[axis]) != (size, len(keep)):
                raise Unproved("its weights do not follow the channels")
            value = np.take(value, keep, axis)
        target.assign(value)
        if any(cut):
            found[name] = tuple(side if c else None for c in cut)
    return found
