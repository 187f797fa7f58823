"""The table of rules, and the two plain objects that rules speak in."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from hh_keras.graph.calls import op_key
from hh_keras.graph.cloning import replaced_methods
from hh_keras.graph.ids import IdTensor, collapse, on_axis, positions
from hh_keras.graph.values import Take

RULES: dict = {}
GRIDS: set = set()  # rules that take tensors with channels on several axes
# Kinds of statistics over channels, and whether copies of all channels, of any, or of
# none leave them as they are.
STATISTICS = {
    "mean": "all",
    "spread": "all",
    "power": "none",
    "greatest": "any",
    "least": "any",
    "softmax": "none",
    "unit": "none",  # of a tensor that is divided by its length
    "shares": "none",  # and that is the softmax itself, or its logarithm
    "log_shares": "none",
    "counted": "all",  # by the layer's stand-in
}
_FOUND: dict = {}  # class → rule or None, as long as RULES stays the same


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Effect:
    """What a call does to channel ids, and what of the layer depends on them.

    Attributes:
        outputs: IdTensor, or a list of them, in the order of the call's outputs.
        produces: int array `(channels,)` of the fresh ids the layer makes, or None.
        weights: weight name → one entry per axis of that weight: an id array as long
            as the axis, or None for an axis that has nothing to do with channels.
        config: config key → new value; an id array inside it stands for the number of
            its ids that are kept.
        arguments: like `config`, for the call's arguments; keys are positions or names.
        contracts: `(input position, axis, ids)` of each input that is summed over its
            channels (a *consumer*): there a channel whose scale is 0 has no effect.
        kernels: weight name → the axis along which multiplying the weight equals
            multiplying the contracted input; empty for a weightless consumer. Where
            several axes of an input are contracted: input axis → axis of the weight.
        reads: weight name → the input position that it reads, if not the first.
        inner: name → `(ids, {weight name: axis})`, channels that the layer contracts
            inside: its stand-in among scaled layers (`surgery/stand_ins`) takes their
            scales by that name. Multiplying the weights along these axes equals that.
        inside: `(attribute, weight name, ids, axes)` of each kernel that a layer within
            reads with: that layer, and the ids of its rows, so many of its first axes.
        statistics: `(input position, axis, ids, kind)` of each input of which a
            statistic over channels is taken, see `STATISTICS`: removed channels do
            not count.
        gains: weight name → `(ids, exponent)`: a weight that is inherited is multiplied
            by (number of kept ids / number of ids) ** exponent.
        uses: weight name → multiply-accumulates per weight element and example.
        products: `(coefficient, (ids, …))`: multiply-accumulates of products between
            activations, coefficient times the numbers of kept ids.
        inputs: int array of the ids on the input's channel axis, if the rule knows.
        adds: int array of the ids of planes of a constant that it puts beside its
            input's channels, or None.
        stopped: why the call lets none of its channels leave, or None.
        held: why some of its channels stay while others leave, or None.
        uncounted: whether its multiply-accumulates are not known.

    Examples:
        >>> class Reverse(keras.layers.Layer):
        ...     def call(self, x):
        ...         return keras.ops.flip(x, -1)
        >>> @hh_keras.register_rule(Reverse)
        ... def reverse(layer, call):
        ...     ids = call.along(call.x, -1)
        ...     return hh_keras.Effect(call.produced(ids[::-1]))
        >>> layers = [keras.layers.Conv2D(4, 3, name="conv"), Reverse(name="reverse")]
        >>> found = hh_keras.trace(keras.Sequential([keras.Input((8, 8, 3)), *layers]))
        >>> found.outputs["conv"].tolist(), found.outputs["reverse"].tolist()
        ([3, 4, 5, 6], [6, 5, 4, 3])
    """

    outputs: Any
    produces: np.ndarray | None = None
    weights: dict = dataclasses.field(default_factory=dict)
    config: dict = dataclasses.field(default_factory=dict)
    arguments: dict = dataclasses.field(default_factory=dict)
    contracts: tuple = ()
    kernels: dict = dataclasses.field(default_factory=dict)
    reads: dict = dataclasses.field(default_factory=dict)
    inner: dict = dataclasses.field(default_factory=dict)
    inside: tuple = ()
    statistics: tuple = ()
    gains: dict = dataclasses.field(default_factory=dict)
    uses: dict = dataclasses.field(default_factory=dict)
    products: tuple = ()
    inputs: np.ndarray | None = None
    adds: np.ndarray | None = None
    stopped: str | None = None
    held: str | None = None
    uncounted: bool = False


@dataclasses.dataclass(eq=False, slots=True)
class RuleCall:
    """One call as a rule sees it.

    Attributes:
        path: name of the layer, `"outer/inner"` inside a nested model.
        inputs: the call's input IdTensors, flat.
        args, kwargs: the call's arguments, tensors replaced by IdTensors.
        shapes: shapes of the outputs, batch first.
        book: the trace's ledger of ids, ties and frozen channels.
    """

    path: str
    inputs: list
    args: tuple
    kwargs: dict
    shapes: list
    book: Any

    @property
    def x(self) -> IdTensor:
        """The first input."""
        return self.inputs[0]

    @property
    def shape(self) -> tuple:
        """Shape of the first output."""
        return self.shapes[0]

    def fresh(self, n: int) -> np.ndarray:
        """Makes `n` new channel ids, produced by this layer."""
        return self.book.fresh(n, self.path)

    def tie(self, a: np.ndarray, b: np.ndarray) -> None:
        """Says that the channels in `a` and `b` leave together, elementwise."""
        self.book.tie(a, b)

    def freeze(self, x: IdTensor | np.ndarray, reason: str) -> None:
        """Says that the channels in `x` (IdTensor or int array) must all stay."""
        self.book.freeze(x.ids if isinstance(x, IdTensor) else x, reason)

    def fixed(self, shape: tuple, reason: str) -> IdTensor:
        """An IdTensor of values that belong to no channel and never change shape."""
        return self.book.fixed(shape, f"{self.path}: {reason}")

    @property
    def rows(self) -> Any:
        """How often one example stands along the inputs' batch axis, see `IdTensor`."""
        if len(self.inputs) == 1:
            return self.x.rows
        rows = [x.rows for x in self.inputs]
        return None if None in rows or not rows else max(rows)

    def positions(self, shape: tuple, *without: Any) -> Any:
        """How many entries of a tensor belong to one example; None if unknown.

        Args:
            shape: of a tensor with the inputs' batch.
            *without: axes that are not counted.
        """
        return positions(shape, self.rows, without)

    def elsewhere(self, x: IdTensor, axis: int) -> bool:
        """Whether the channels of `x` lie on other axes than this one."""
        return bool(x.varying) and axis % x.rank not in x.varying

    def channels(self, x: IdTensor, axis: int) -> np.ndarray | None:
        """Like `along`; None if the axis holds positions, channels being elsewhere."""
        return None if self.elsewhere(x, axis) else self.along(x, axis)

    def along(self, x: IdTensor, axis: int) -> np.ndarray:
        """The ids of `x` along one axis, int array `(x.shape[axis],)`.

        Of a grid those of this axis alone; other ids that also vary along another axis
        are tied across it.
        """
        key = (id(x.ids), axis % x.rank, x.shape[axis])
        known = self.book.vectors
        if key not in known:
            if self.elsewhere(x, axis):
                self.freeze(x, f"{self.path}: reads positions as if they were channels")
            factors = self.axes_of(x.ids) if len(x.varying) > 1 else {}
            if key[1] in factors:
                flat = factors[key[1]]
            else:
                flat = self.rectangle(x.ids, key[1]).reshape(-1)
            if len(flat) != key[2]:
                flat = np.broadcast_to(flat, (key[2],))
            # The array is kept too, so that no other can take its place in memory.
            known[key] = x.ids, self.book.own(flat)
        return known[key][1]

    def rectangle(self, ids: np.ndarray, prefer: int | None = None) -> np.ndarray:
        """Ties ids until they vary along at most one axis; returns them collapsed.

        What is left after removing channels must again be a block of numbers, so
        whole slices leave. `prefer` names the axis to keep; the default is the last.
        """
        ids = collapse(ids)
        varying = [i for i, n in enumerate(ids.shape) if n > 1]
        keep = prefer if prefer is not None else (varying or [0])[-1]
        for axis in varying:
            if axis != keep:
                first = ids.take([0], axis=axis)
                self.book.tie(np.broadcast_to(first, ids.shape), ids)
                ids = first
        return ids

    def axes_of(self, ids: np.ndarray) -> dict:
        """Of a grid, whose ids are products of those of its axes: axis → its ids.

        Empty if it is none.
        """
        columns: dict = {}
        for column in self._columns(ids):
            varying = [i for i, n in enumerate(column.shape) if n > 1]
            if len(varying) > 1:
                return {}
            if varying:  # one that is the same everywhere is held by who picked it
                columns.setdefault(varying[0], []).append(column.reshape(-1))
        return {
            axis: each[0] if len(each) == 1 else self.book.joint(each)
            for axis, each in columns.items()
        }

    def _columns(self, ids):
        """The factors of ids that are products, an array for each; none if there are
        more of some than of others."""
        factors = self.book.factors
        flat = [factors.get(i, (i,)) for i in ids.reshape(-1).tolist()]
        if len({len(each) for each in flat}) > 1:
            return []
        return [collapse(c.reshape(ids.shape)) for c in np.array(flat).T]

    def grid(self, ids: np.ndarray) -> np.ndarray:
        """Has ids that vary along several axes be products of one id for each axis.

        What is left after removing channels must again be a block of numbers. So has
        each factor of ids that are products already, such as heads that are split into
        groups; those that cannot are tied as in `rectangle`.
        """
        ids = collapse(ids)
        varying = [i for i, n in enumerate(ids.shape) if n > 1]
        if len(varying) < 2 or self.axes_of(ids):
            return ids
        flat = ids.reshape(-1)
        if any(i in self.book.factors for i in flat.tolist()):
            columns = [self.grid(c) for c in self._columns(ids)]
            found = self.book.joint(np.broadcast_arrays(*columns)) if columns else ids
            return found if self.axes_of(found) else self.rectangle(ids)
        if not (flat >= 0).all() or len(np.unique(flat)) < len(flat):
            return self.rectangle(ids)
        vectors = {i: self.book.factor(ids.shape[i]) for i in varying}
        found = self.spanned(vectors, ids.ndim)
        self.tie(ids, found)
        return found

    def spanned(self, vectors: dict, rank: int) -> np.ndarray:
        """Ids that vary along several axes.

        Args:
            vectors: axis → its ids, at least one.
            rank: of the result.
        """
        axes = sorted(vectors)
        ids = vectors[axes[0]]
        if len(axes) > 1:
            ids = self.book.product([vectors[axis] for axis in axes])
        shape = [1] * rank
        for axis in axes:
            shape[axis] = len(vectors[axis])
        return ids.reshape(shape)

    def placed(self, vectors: dict, shape: tuple, reason: str) -> IdTensor:
        """A tensor whose ids vary along the axes of `vectors`; fixed if there are none.

        Args:
            vectors: axis → its ids.
            shape: of the tensor.
            reason: why its values belong to no channel, if they do not.
        """
        if not vectors:
            return self.fixed(shape, reason)
        return IdTensor(self.spanned(vectors, len(shape)), tuple(shape))

    def passes(self, **fields: Any) -> Effect:
        """The effect of a layer whose output holds the ids of its input."""
        x = self.x
        return Effect([IdTensor(x.ids, tuple(s)) for s in self.shapes], **fields)

    def stops(self, reason: str) -> Effect:
        """The effect of a call that freezes all its inputs."""
        for x in self.inputs:
            self.freeze(x, f"{self.path}: {reason}")
        outputs = [self.fixed(s, reason) for s in self.shapes]
        return Effect(outputs, stopped=reason)

    def counted(self, effect: Effect, macs: Any) -> Effect:
        """The effect with a fixed count of multiply-accumulates; None if unknown."""
        return dataclasses.replace(effect, products=((macs, ()),))

    def produced(self, ids: np.ndarray, axis: int = -1) -> IdTensor:
        """An output tensor whose channels `ids` lie along `axis`."""
        x = on_axis(ids, axis, self.shape)
        if (ids >= 0).all():  # whoever reads it finds these very ids
            place = axis % x.rank
            self.book.vectors[id(x.ids), place, x.shape[place]] = x.ids, ids
        return x


def flattened(call: RuleCall) -> RuleCall:
    """The call with channels on one axis of each tensor, the last that has any."""
    if all(len(x.varying) < 2 for x in call.inputs):
        return call

    def flat(x):
        if not isinstance(x, IdTensor) or len(x.varying) < 2:
            return x
        return dataclasses.replace(x, ids=call.rectangle(x.ids))

    inputs = [flat(x) for x in call.inputs]
    known = {id(old): new for old, new in zip(call.inputs, inputs)}
    args, kwargs = keras.tree.map_structure(
        lambda x: known.get(id(x), x), (call.args, call.kwargs)
    )
    return dataclasses.replace(call, inputs=inputs, args=args, kwargs=kwargs)


def takes_grids(rule: Callable) -> Callable:
    """Marks a rule that takes tensors with channels on several axes."""
    GRIDS.add(rule)
    return rule


def register_rule(*kinds: Any) -> Callable:
    """Teaches `trace` what a layer class does to channels.

    Args:
        *kinds: layer classes, or stable names (`"keras.ops.Add"`) of operations that
            Keras does not export. A rule also serves subclasses that override nothing
            that computes, builds or makes a weight.

    Returns:
        A decorator for `rule(layer, call) -> Effect`, see `RuleCall` and `Effect`.

    Examples:
        A layer with one learnt factor per channel of its last axis:

        >>> class Gain(keras.layers.Layer):
        ...     def build(self, shape):
        ...         self.gain = self.add_weight(shape=shape[-1:], name="gain")
        ...
        ...     def call(self, x):
        ...         return x * self.gain
        >>> @hh_keras.register_rule(Gain)
        ... def gain(layer, call):
        ...     ids = call.along(call.x, -1)
        ...     return call.passes(weights={"gain": (ids,)})
        >>> layers = [keras.layers.Conv2D(8, 3, name="conv"), Gain(name="gain")]
        >>> net = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> print(hh_keras.trace(net).explain("gain"))
        layer  type  by    what it does to channels
        -----  ----  ----  ------------------------
        gain   Gain  rule  passes them on
    """

    def decorate(rule):
        for kind in kinds:
            RULES[kind] = rule
        _FOUND.clear()
        return rule

    return decorate


def find_rule(op: Any) -> Callable | None:
    """Returns the rule for an operation, or None.

    A subclass inherits a rule only if it overrides nothing that computes, builds or
    makes a weight: anything else would be a guess.
    """
    name = getattr(op, "rule_name", None)  # one class that stands for many functions
    if isinstance(name, str):
        return RULES.get(name)
    kind = type(op)
    if kind not in _FOUND:
        _FOUND[kind] = _find_rule(kind)
    rule = _FOUND[kind]
    return None if rule is not None and replaced_methods(op) else rule


def _find_rule(kind):
    before = []  # classes between this one and the one that has the rule
    for base in kind.__mro__:
        rule = RULES.get(base) or RULES.get(op_key(base))
        if rule is not None:
            return rule if _computes_the_same(before, base) else None
        before.append(base)
    return None


# What a subclass may have of its own without computing anything else.
_HARMLESS = {
    "__init__",
    "get_config",
    "from_config",
    "compute_output_shape",
    "compute_output_spec",
    "compute_mask",
    "get_build_config",
    "build_from_config",
    "save_own_variables",
    "load_own_variables",
    "supports_jit",
    "count_params",
    "__doc__",
    "__module__",
    "__qualname__",
    "__dict__",
    "__weakref__",
    "__annotations__",
    "__annotate_func__",
    "__annotations_cache__",
    "__static_attributes__",
    "__firstlineno__",
    "__abstractmethods__",
    "_abc_impl",
    "__repr__",
    "__str__",
    "__hash__",
    "__orig_bases__",
    "__parameters__",
}


def _computes_the_same(subclasses, base):
    """Whether subclasses override nothing that computes, builds or makes a weight."""
    inherited = set(dir(base)) | {"__getattr__", "__getattribute__", "__setattr__"}
    own = [(k, v) for each in subclasses for k, v in vars(each).items()]
    # A property may stand in for a weight, which is no attribute of the base class.
    return not any(
        name not in _HARMLESS
        and (name in inherited or hasattr(type(value), "__get__"))
        and not (inspect.isfunction(value) and name not in inherited)
        for name, value in own
    )


__all__ = ["Effect", "RuleCall", "Take", "find_rule", "register_rule"]
