"""Where Keras takes an array for a bias, and adds it to another axis than numpy would.

On TensorFlow, `keras.ops.add(x, c)` of a `c` with one axis of more than one number goes
by its length alone: if that is the last axis' of `x`, `c` is added there, if it is the
second's, there. Which axis is meant then depends on sizes, and those change.
"""

from collections.abc import Sequence
from typing import Any

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
    """Whether an operation is `keras.ops.add`."""
    return op_key(type(op)) == "keras.ops.Add"


def as_meant(op: Any, args: tuple) -> tuple:
    """Arguments of a call; of a sum in the order in which Keras broadcasts them."""
    if not is_sum(op) or len(args) != 2:
        return args
    shapes = [getattr(a, "shape", ()) for a in args]
    return args[::-1] if is_mistaken(*shapes) else args
