"""Trials: what a layer without a rule does to channels, found out by running it.

A trial proves itself. A layer *works channel by channel* if changing half of the
channels never moves an output of the others, for every bit of their numbers; it *can
be made smaller* if, built on fewer channels with its weights cut, it gives exactly the
outputs that were kept. What is not proved is frozen, with what was seen. Trials run on
small tensors and on copies of the layer, never on the user's own.
"""

import dataclasses
import time
from fractions import Fraction
from typing import Any

import keras
import numpy as np

from hh_keras.graph.calls import is_layer, variables
from hh_keras.graph.cloning import clone_op
from hh_keras.graph.ids import IdTensor
from hh_keras.graph.measured import count_macs
from hh_keras.graph.rules.registry import Effect

TOLERANCE = 1e-6  # of the outputs' spread
SECONDS = 10  # a trial that takes longer is given up
_EXAMPLES = 2
_UNKNOWN = 6  # stands for sizes that are not known
_MOST = 3_000_000  # numbers in the tensors of a trial


class Unproved(Exception):
    """What a trial saw that speaks against letting channels leave."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a trial proved, in terms of axes.

    Attributes:
        passes: axis of each output that holds the input's channels, or None; empty if
            the layer makes channels of its own.
        makes: the axis of the first output on which new channels lie, or None.
        reads: whether input channels can leave that are set to zero.
        weights: weight name → for each axis "in", "out" or None.
        config: config key → "in" or "out".
        macs: multiply-accumulates of an example, as counted at the sizes of the trial;
            None if they cannot be counted.
        scales_with: which channels the count is proportional to.
    """

    passes: tuple = ()
    makes: int | None = None
    reads: bool = False
    weights: dict = dataclasses.field(default_factory=dict)
    config: dict = dataclasses.field(default_factory=dict)
    macs: Any = 0
    scales_with: tuple = ()


def try_call(op, call):
    """The effect of a call of an operation that has no rule.

    Args:
        op: a layer or operation; it is not changed.
        call: the `RuleCall`.

    Returns:
        An `Effect`; where nothing was proved, one that stops, with the reason.
    """
    key = _key(op, call)
    if key not in _TRIED:
        _TRIED[key] = _try(op, call), _rows_of(op, call), op
    found, rows, _ = _TRIED[key]
    effect = call.stops(found) if isinstance(found, str) else _effect(call, found)
    outputs = effect.outputs if isinstance(effect.outputs, list) else [effect.outputs]
    before = call.rows
    return dataclasses.replace(
        effect,
        outputs=[
            dataclasses.replace(x, rows=None if None in (n, before) else before * n)
            for x, n in zip(outputs, rows)
        ],
    )


# Key → (what was found, rows of each output, the operation, so that no other can take
# its place in memory).
_TRIED = {}


def _rows_of(op, call):
    """How many rows of each output one row of the inputs becomes; None if unknown.

    An operation may fold positions into the batch: its shapes for two batches tell.
    """
    if not call.inputs or any(x.shape[:1] != (None,) for x in call.inputs):
        return [1] * len(call.shapes)
    counts = []
    for batch in (2, 3):
        args, kwargs = keras.tree.map_structure(
            lambda x: (
                keras.KerasTensor((batch, *x.shape[1:]), x.dtype)  # noqa: B023
                if isinstance(x, IdTensor)
                else x
            ),
            (call.args, call.kwargs),
        )
        try:
            spec = keras.tree.flatten(op.compute_output_spec(*args, **kwargs))
        except Exception:  # a user's layer may raise anything
            return [1] * len(call.shapes)
        counts.append([Fraction(t.shape[0] or batch, batch) for t in spec if t.shape])
    if len(counts[0]) != len(call.shapes):
        return [1] * len(call.shapes)
    return [a if a == b else None for a, b in zip(*counts)]


def _key(op, call):
    """Trials of equal operations on equal shapes find the same."""
    inputs = tuple((x.shape, x.varying, x.dtype, x.is_fixed) for x in call.inputs)
    rest = keras.tree.map_structure(
        lambda x: "tensor" if isinstance(x, IdTensor) else repr(x)[:200],
        (call.args, call.kwargs),
    )
    try:
        config = {k: v for k, v in op.get_config().items() if k != "name"}
        made_of = repr(config) if "0x" not in repr(config) else id(op)
    except Exception:  # no config: known by identity
        made_of = id(op)
    if _holds_functions(op):
        made_of = id(op)
    return type(op), made_of, inputs, repr(rest)


def _holds_functions(op):
    return any(
        callable(v) and not isinstance(v, (type, keras.Layer))
        for k, v in vars(op).items()
        if not k.startswith("_") and k not in ("build", "quantize")
    )


def _try(op, call):
    """A `Finding`, or the reason why there is none."""
    try:
        return _Trial(op, call).finding()
    except Unproved as seen:
        return f"{seen}"
    except Exception as error:  # a user's layer may raise anything
        return f"cannot be tried by itself ({type(error).__name__})"


class _Trial:
    """One operation with random inputs of the shapes of one call."""

    def __init__(self, op, call):
        self.op, self.call = op, call
        self.until = time.monotonic() + SECONDS
        self.rng = np.random.default_rng(0)
        self.varying = [i for i, x in enumerate(call.inputs) if x.varying]
        if any(len(call.inputs[i].varying) > 1 for i in self.varying):
            raise Unproved("channels lie on several axes")
        self.axis = [x.varying[0] if x.varying else None for x in call.inputs]
        if not call.inputs:
            raise Unproved("takes no tensors")
        self.between = None
        self.values = [self._draw(x) for x in call.inputs]
        sizes = {self.values[i].shape[self.axis[i]] for i in self.varying}
        if len(sizes) > 1:
            raise Unproved("takes different numbers of channels")
        self.size = sizes.pop() if sizes else None

    def finding(self):
        op, state = self._copy({}, self.values)
        before = [np.array(v) for v in state.values()]
        outputs = self._finite(op)
        again = self._run(op, self.values)
        if not all(map(_same, outputs, again)):
            raise Unproved("gives other numbers at every call")
        if not all(map(_same, before, [np.array(v) for v in state.values()])):
            raise Unproved("has state that changes")
        if self.varying:
            passes = self._channelwise(op, outputs)
            if passes:
                return self._smaller(op, outputs, passes)
        elif self._passes_what_stays(op, outputs):
            return Finding(passes=(None,) * len(outputs))
        return self._producer(op, outputs)

    def _finite(self, op):
        """The outputs on numbers that it is made for: logarithms want positive ones."""
        for self.between in (None, (0.05, 0.95), (1.05, 3.0)):
            self.values = [self._draw(x) for x in self.call.inputs]
            outputs = self._run(op, self.values)
            if all(np.isfinite(y).all() for y in outputs if y.dtype.kind == "f"):
                return outputs
        raise Unproved("gives NaN or infinity on random numbers")

    def _passes_what_stays(self, op, outputs):
        """Whether channels that must stay anyway pass, so that nothing is made here."""
        size = self.call.x.shape[-1] if self.call.x.rank > 1 else None
        if not size or size < 2:
            return False
        fits = [i for i, v in enumerate(self.values) if v.shape[-1:] == (size,)]
        self.varying, self.size = [i for i in fits if self.values[i].ndim > 1], size
        self.axis = [v.ndim - 1 for v in self.values]
        passes = self._channelwise(op, outputs)
        self.varying, self.size = [], None
        return bool(passes)

    # Channel by channel

    def _channelwise(self, op, outputs):
        """The axis of each output on which each channel depends on itself alone."""
        places = [
            [a for a, n in enumerate(y.shape) if n == self.size and a > 0]
            for y in outputs
        ]
        self.seen = None
        for training in self._modes(op):
            base = self._run(op, self.values, training)
            for chosen in self._halves():
                changed = self._run(op, self._changed(chosen), training)
                for k, (a, b) in enumerate(zip(base, changed)):
                    moved = ~_equal(a, b)
                    places[k] = [
                        axis
                        for axis in places[k]
                        if not np.take(moved, np.flatnonzero(~chosen), axis).any()
                    ]
                    if not places[k]:
                        self.seen = self._dependence(moved)
                        return None
        return tuple(axes[-1] if axes else None for axes in places)

    def _modes(self, op):
        """Inference; and training, unless it is random there."""
        if not getattr(op, "_call_has_training_arg", False):
            return [None]
        first, second = (self._run(op, self.values, True) for _ in range(2))
        return [False, True] if all(map(_same, first, second)) else [False]

    def _halves(self):
        """Halves of the channels by the bits of their numbers, each way round."""
        numbers = np.arange(self.size)
        for bit in range(max(1, int(self.size - 1).bit_length())):
            chosen = (numbers >> bit & 1).astype(bool)
            yield from (chosen, ~chosen)

    def _changed(self, chosen):
        """The inputs with other numbers in the chosen channels."""
        values = list(self.values)
        for i in self.varying:
            other = self._draw(self.call.inputs[i], scale=3.0)
            shape = [1] * other.ndim
            shape[self.axis[i]] = -1
            values[i] = np.where(chosen.reshape(shape), other, values[i])
        return values

    def _dependence(self, moved):
        share = moved.mean()
        if share > 0.99:
            return "every output depends on channels that are not its own"
        return "outputs depend on channels that are not their own"

    def _smaller(self, op, outputs, passes):
        """Proves that it can be built on fewer channels, or raises."""
        keeps = self._subsets(self.size)
        failed = "cannot be built on fewer channels"
        for changes in self._sizes_in_config(self.size):
            try:
                weights = None
                for keep in keeps:
                    found = self._cut(op, outputs, passes, keep, changes)
                    weights = found if weights is None else weights
                    if weights != found:
                        raise Unproved("its weights do not follow the channels")
            except Unproved as seen:
                failed = str(seen)
                continue
            except Exception as error:  # built with sizes that do not fit
                failed = f"{failed} ({type(error).__name__})"
                continue
            config = {key: "in" for key in changes}
            macs, scales = self._macs(op, changes, keeps[0])
            return Finding(passes, None, False, weights, config, macs, scales)
        raise Unproved(failed)

    def _cut(self, op, outputs, passes, keep, changes):
        """Compares the layer on kept channels; returns which axes its weights cut."""
        self._in_time()
        inputs = [
            np.take(v, keep, self.axis[i]) if i in self.varying else v
            for i, v in enumerate(self.values)
        ]
        small, _ = self._copy({k: len(keep) for k in changes}, inputs)
        axes = _cut_weights(op, small, {"in": (self.size, keep)})
        for y, axis, z in zip(outputs, passes, self._run(small, inputs)):
            _check_equal(y if axis is None else np.take(y, keep, axis), z)
        return axes

    # Layers that make channels

    def _producer(self, op, outputs):
        """Proves which outputs, and which inputs, can leave, or raises."""
        if not is_layer(op) or not variables(op) or len(outputs) != 1:
            raise Unproved(self.seen_or("has no rule"))
        weights, config, makes = self._outputs_leave(op, outputs[0])
        reads = None
        if len(self.varying) == 1 and len(self.call.inputs) == 1:
            reads = self._inputs_leave(op, outputs[0])
        merged = {
            name: tuple(o or i for o, i in zip(axes, (reads or {}).get(name, axes)))
            for name, axes in weights.items()
        }
        macs, scales = self._macs_made(op, config, makes, reads is not None)
        return Finding((), makes, reads is not None, merged, config, macs, scales)

    def seen_or(self, reason):
        return getattr(self, "seen", None) or reason

    def _outputs_leave(self, op, output):
        for makes in dict.fromkeys((output.ndim - 1, 1)):
            size = output.shape[makes] if 0 < makes < output.ndim else 0
            for changes in self._sizes_in_config(size) if size > 1 else ():
                if not changes:
                    continue
                try:
                    found = None
                    for keep in self._subsets(size):
                        self._in_time()
                        less = {k: len(keep) for k in changes}
                        small, _ = self._copy(less, self.values)
                        axes = _cut_weights(op, small, {"out": (size, keep)})
                        (z,) = self._run(small, self.values)
                        _check_equal(np.take(output, keep, makes), z)
                        if found not in (None, axes):
                            raise Unproved("its weights do not follow the channels")
                        found = axes
                    return found, {key: "out" for key in changes}, makes
                except Exception:  # not this entry of the config
                    continue
        raise Unproved(
            self.seen_or("nothing in its config says how many channels it makes")
        )

    def _inputs_leave(self, op, output):
        """The weights' axes if channels that are zero can leave, else None."""
        axis, (x,) = self.axis[0], self.values
        try:
            found = None
            for keep in self._subsets(self.size):
                self._in_time()
                shape = [1] * x.ndim
                shape[axis] = -1
                kept = np.zeros(self.size, bool)
                kept[keep] = True
                silenced = np.where(kept.reshape(shape), x, np.zeros_like(x))
                small, _ = self._copy({}, [np.take(x, keep, axis)])
                axes = _cut_weights(op, small, {"in": (self.size, keep)})
                (y,) = self._run(op, [silenced])
                (z,) = self._run(small, [np.take(x, keep, axis)])
                _check_equal(y, z)
                if found not in (None, axes):
                    return None
                found = axes
            return found
        except Exception:  # it cannot be built so, or gives something else
            return None

    # Parts of every trial

    def _draw(self, x, scale=1.0):
        shape = [_EXAMPLES if i == 0 else n or _UNKNOWN for i, n in enumerate(x.shape)]
        shape[:1] = [x.shape[0] or _EXAMPLES] if x.shape else []
        if np.prod(shape) > _MOST:
            raise Unproved("takes tensors too large to be tried")
        kind = np.dtype(x.dtype if x.dtype != "bfloat16" else "float32").kind
        if kind == "b":
            return self.rng.random(shape) < 0.5
        if kind in "iu":
            return self.rng.integers(0, 3, shape).astype(x.dtype)
        if self.between:
            return self.rng.uniform(*self.between, shape).astype("float32")
        return self.rng.normal(0, scale, shape).astype("float32")

    def _copy(self, changes, values):
        """A copy of the layer, built on `values`, with weights of its own."""
        new = clone_op(self.op, changes)
        if is_layer(new) and not new.built:
            self._run(new, values)
        state = variables(new)
        for name, variable in variables(self.op).items():
            mine = state.get(name)
            if mine is None or mine.shape != variable.shape:
                continue
            value = np.asarray(variable)
            if value.dtype.kind == "f" and str(variable.dtype) != "bfloat16":
                noise = np.random.default_rng(len(name)).uniform(-0.3, 0.3, value.shape)
                value = (value + noise * (0.2 + np.abs(value))).astype(value.dtype)
            mine.assign(value)
        return new, state

    def _run(self, op, values, training=None):
        left = iter(values)

        def fill(x):
            return next(left) if isinstance(x, IdTensor) else x

        args, kwargs = keras.tree.map_structure(
            fill, (self.call.args, self.call.kwargs)
        )
        args, kwargs = keras.tree.map_structure(
            lambda x: (
                keras.ops.convert_to_tensor(x) if isinstance(x, np.ndarray) else x
            ),
            (args, kwargs),
        )
        if training is not None and "training" not in kwargs:
            kwargs["training"] = training
        with _undisturbed():
            outputs = op(*args, **kwargs)
        return [np.asarray(y) for y in keras.tree.flatten(outputs)]

    def _subsets(self, size):
        """Two sets of kept channels, of different sizes."""
        counts = sorted({max(1, size // 2), max(1, size - 1)})
        return [np.sort(self.rng.permutation(size)[:n]) for n in counts]

    def _sizes_in_config(self, size):
        """Entries that may say how many channels there are: none, all, one by one."""
        if is_layer(self.op):
            try:
                entries = self.op.get_config()
            except Exception:  # it has none
                entries = {}
        else:
            entries = vars(self.op)
        keys = [k for k, v in entries.items() if type(v) is int and v == size]
        preferred = ("filters", "units")
        keys.sort(key=lambda k: k not in preferred)
        yield {}
        for key in keys:
            yield {key: size}
        if len(keys) > 1:
            yield dict.fromkeys(keys, size)

    def _in_time(self):
        if time.monotonic() > self.until:
            raise Unproved(f"takes longer than {SECONDS} s to be tried")

    # What it costs

    def _macs(self, op, changes, keep):
        """Multiply-accumulates, and whether they are in proportion to the channels."""
        whole = count_macs(op, self.call.args, self.call.kwargs)
        if not whole or whole != whole:
            return whole, ()
        shapes = {id(x): _narrowed(x, a, len(keep)) for x, a in self._varied()}
        args, kwargs = keras.tree.map_structure(
            lambda x: shapes.get(id(x), x), (self.call.args, self.call.kwargs)
        )
        small, _ = self._copy({k: len(keep) for k in changes}, self._kept(keep))
        part = count_macs(small, args, kwargs)
        if part is not None and part * self.size == whole * len(keep):
            return whole, ("in",)
        return None, ()

    def _macs_made(self, op, config, makes, reads):
        whole = count_macs(op, self.call.args, self.call.kwargs)
        if not whole or whole != whole:
            return whole, ()
        size = self.call.shape[makes]
        keep = self._subsets(size)[0]
        small, _ = self._copy({k: len(keep) for k in config}, self.values)
        part = count_macs(small, self.call.args, self.call.kwargs)
        if part is None or part * size != whole * len(keep):
            return None, ()
        if not reads:
            return whole, ("out",)
        keep = self._subsets(self.size)[0]
        small, _ = self._copy({}, self._kept(keep))
        x = _narrowed(self.call.x, self.axis[0], len(keep))
        part = count_macs(small, (x, *self.call.args[1:]), self.call.kwargs)
        if part is None or part * self.size != whole * len(keep):
            return None, ()
        return whole, ("in", "out")

    def _kept(self, keep):
        return [
            np.take(v, keep, self.axis[i]) if i in self.varying else v
            for i, v in enumerate(self.values)
        ]

    def _varied(self):
        return [(self.call.inputs[i], self.axis[i]) for i in self.varying]


def _narrowed(x, axis, size):
    """A tensor with fewer channels; only its shape counts."""
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    return IdTensor(np.zeros((1,) * x.rank, int), shape, x.rows, x.dtype)


def _undisturbed():
    """Whatever a layer prints is not the user's concern."""
    import contextlib
    import io

    return contextlib.redirect_stdout(io.StringIO())


def _equal(a, b):
    return (a == b) | ((a != a) & (b != b))


def _same(a, b):
    return a.shape == b.shape and bool(np.all(_equal(a, b)))


def _check_equal(wanted, got):
    if wanted.shape != got.shape:
        raise Unproved(
            f"on fewer channels gives shape {got.shape[1:]}, not {wanted.shape[1:]}"
        )
    if wanted.dtype.kind != "f":
        close = _same(wanted, got)
    else:
        spread = max(float(np.ptp(wanted)), 1e-12)
        close = float(np.abs(wanted - got).max()) <= TOLERANCE * spread
    if not close:
        raise Unproved("built on fewer channels gives other numbers")


def _cut_weights(big, small, sides):
    """Gives a smaller layer the kept part of a bigger one's weights.

    Args:
        big, small: layers of one class.
        sides: name → (size in `big`, kept positions).

    Returns:
        Weight name → for each axis the name of the side that it follows, or None.
    """
    found, mine = {}, variables(small)
    for name, variable in variables(big).items():
        value, target = np.asarray(variable), mine.get(name)
        if target is None or len(target.shape) != value.ndim:
            raise Unproved("made again from its config has other weights")
        axes = []
        for axis, (n, m) in enumerate(zip(value.shape, target.shape)):
            side = next(
                (s for s, (size, k) in sides.items() if (n, m) == (size, len(k))), None
            )
            if n != m and side is None:
                raise Unproved("its weights do not follow the channels")
            axes.append(side if n != m else None)
            if n != m:
                value = np.take(value, sides[side][1], axis)
        target.assign(value)
        if any(axes):
            found[name] = tuple(axes)
    return found


def _effect(call, found):
    """A finding in terms of the channel ids of one call."""
    if found.makes is None:
        return _passing_effect(call, found)
    size = call.shape[found.makes]
    outputs = call.fresh(size)
    (x, *_) = call.inputs
    inputs = call.along(x, x.varying[0]) if x.varying else None
    if not found.reads:
        for each in call.inputs:
            call.freeze(each, f"{call.path}: reads all channels together (trial)")
    sides = {"in": inputs if found.reads else None, "out": outputs}
    return Effect(
        call.produced(outputs, found.makes),
        produces=outputs,
        weights={
            name: tuple(sides.get(side) for side in axes)
            for name, axes in found.weights.items()
        },
        config={key: outputs for key in found.config},
        contracts=((0, x.varying[0], inputs),) if found.reads else (),
        inputs=inputs,
        **_products(call, found, {"in": inputs, "out": outputs}),
    )


def _passing_effect(call, found):
    varying = [x for x in call.inputs if x.varying]
    if not varying:
        return call.passes()
    ids = call.along(varying[0], varying[0].varying[0])
    for x in varying[1:]:
        call.tie(ids, call.along(x, x.varying[0]))
    for x in call.inputs:
        if not x.varying and not x.is_fixed:
            call.freeze(x, f"{call.path}: one channel that works on many")
    outputs = []
    for axis, shape in zip(found.passes, call.shapes):
        form = [1] * len(shape)
        if axis is not None:
            form[axis] = -1
        tensor = IdTensor(ids.reshape(form), tuple(shape)) if axis is not None else None
        outputs.append(tensor or call.fixed(shape, "no channels left"))
    return Effect(
        outputs,
        weights={
            name: tuple(ids if side else None for side in axes)
            for name, axes in found.weights.items()
        },
        config={key: ids for key in found.config},
        **_products(call, found, {"in": ids}),
    )


def _products(call, found, sides):
    if found.macs is None:
        return {"uncounted": True}
    if not found.macs:
        return {}
    if found.macs != found.macs:
        return {"products": ((None, ()),)}
    factors = tuple(sides[side] for side in found.scales_with)
    share = found.macs
    for ids in factors:
        share = share / len(ids)
    return {"products": ((share, factors),)}


__all__ = ["Finding", "try_call"]
