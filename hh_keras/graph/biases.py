"""Where Keras takes an array for a bias, and adds it to another axis than numpy would.

On TensorFlow, `keras.ops.add(x, c)` of a `c` with one axis of more than one number goes
by its length alone: if that is the last axis' of `x`, `c` is added there, if it is the
second's, there. Which axis is meant then depends on sizes, and those change.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from hh_keras.errors import ModelError
from hh_keras.graph import calls
from hh_keras.graph.calls import op_key


def is_mistaken(x: Sequence, added: Sequence) -> bool:
    """Whether `keras.ops.add` adds to another axis than broadcasting does.

    Args:
        x, added: shapes of its two operands, None where unknown.

    Examples:
        >>> from hh_keras.graph.biases import is_mistaken
        >>> [is_mistaken((None, 6, 7, channels), (6, 1, 1)) for channels in (8, 6)]
        [False, True]
    """
    own = [(k - len(added), n) for k, n in enumerate(added) if n is None or n > 1]
    if len(own) != 1 or len(x) < 2:
        return False
    ((axis, size),) = own
    if size is None or size not in (x[1], x[-1]):
        return False
    return axis != (-1 if x[-1] == size else 1 - len(x))


def is_sum(op: Any) -> bool:
    """Whether an operation is `keras.ops.add`, or a layer that calls it."""
    return op_key(type(op)) == "keras.ops.Add" or isinstance(op, _SUMS)


_SUMS = (keras.layers.Add, keras.layers.Average)


def as_meant(op: Any, args: tuple) -> tuple:
    """Arguments of a call; of a sum in the order in which Keras broadcasts them."""
    terms = _terms(op, args)
    if terms is None or not is_mistaken(*(getattr(a, "shape", ()) for a in terms)):
        return args
    return ([*terms[::-1]],) if isinstance(op, _SUMS) else terms[::-1]


def as_built(call: Any, args: tuple) -> tuple:
    """Arguments of a model's call on other sizes, a batch of one perhaps, ordered so
    that a sum adds to the axis to which it adds in the model.
    """
    own = call.node.arguments.args
    return as_meant(call.op, args) if as_meant(call.op, own) is own else args


def depends_on_batch(model: keras.Model, batch: int) -> bool:
    """Whether a sum adds to another axis on batches of that size than in the model."""
    found = []

    def step(path, call, args, kwargs):
        terms = _terms(call.op, call.node.arguments.args)
        if terms is not None:
            shapes = [tuple(getattr(a, "shape", ())) for a in terms]
            sized = [tuple(batch if n is None else n for n in s) for s in shapes]
            found.append(is_mistaken(*sized) and not is_mistaken(*shapes))
        return call.outputs

    calls.interpret(model, list(calls.as_graph(model).inputs), step)
    return any(found)


def _terms(op, args):
    """The two terms of a sum; None of anything else."""
    if not is_sum(op):
        return None
    terms = args[0] if isinstance(op, _SUMS) else args
    return terms if len(terms) == 2 else None


def check_own_biases(model: keras.Model, new: keras.Model) -> None:
    """Makes sure that layers of a network made anew add their biases where they did.

    Convolutions of channels that come first, EinsumDense and attention add theirs by
    `keras.ops.add`, too, and there is no other order to call that in.

    Raises:
        ModelError: one adds it to positions now, or did.
    """
    before, after = (dict(_own_biases(each)) for each in (model, new))
    for path, wrong in after.items():
        if wrong != before.get(path, wrong):
            which, verb = ("new", "has") if wrong else ("given", "had")
            raise ModelError(
                f"layer '{path}' of the {which} model {verb} as many channels as "
                "positions, and Keras takes such a bias for one of the positions: the "
                "networks would not compute the same. Keep another number of its "
                "channels (round_to=1, min_keep), leave it as it is (freeze), or build "
                "the model with data_format='channels_last'."
            )


def _own_biases(model: keras.Model) -> Iterator[tuple[str, bool]]:
    """Of each layer with a bias of its own whether Keras adds it to another axis."""
    found: dict = {}

    def step(path, call, args, kwargs):
        wrong = any(is_mistaken(*shapes) for shapes in _added(call, args))
        found[path] = found.get(path, False) or wrong
        return call.outputs

    calls.interpret(model, list(calls.as_graph(model).inputs), step)
    yield from found.items()


def _added(call, args):
    """`(shape, bias shape)` of the sums of a bias within a layer's call."""
    op = call.op
    bias = getattr(op, "bias", None)
    if isinstance(op, keras.layers.EinsumDense) and bias is not None:
        yield call.outputs[0].shape, bias.shape
    elif getattr(op, "data_format", "") == "channels_first" and hasattr(op, "rank"):
        if bias is not None:
            yield call.outputs[0].shape, (1, *bias.shape, *[1] * op.rank)
    elif isinstance(op, keras.layers.MultiHeadAttention):
        lengths = {x.shape[1] for x in keras.tree.flatten(args) if hasattr(x, "shape")}
        for name in ("query_dense", "key_dense", "value_dense"):
            own = getattr(op, name, None)
            if getattr(own, "bias", None) is not None:
                shape = tuple(own.bias.shape)
                yield from (((None, n, *shape), shape) for n in lengths)
