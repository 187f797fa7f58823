"""Numbers that are drawn outside Keras, which no graph draws again.

They could be the same in every run by luck, so the drawing itself is noticed.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import random_seed

# What TensorFlow's functions ask for before they draw, unless a seed's state is given.
ASKED = (
    (random_seed, "get_seed"),
    (tf.random.Generator, "_prepare_key_counter"),
)
TENSORFLOW = "draws numbers whose state only TensorFlow knows"


class Drawn(Exception):
    """Somebody drew numbers."""


@contextlib.contextmanager
def noticed(refused: bool = True) -> Iterator[None]:
    """Puts the states of Python's and numpy's random numbers back after a block.

    Raises:
        Drawn: the block has drawn from one of them; not if that is not `refused`.
    """
    before = random.getstate(), np.random.get_state()
    try:
        yield
        if refused and random.getstate() != before[0]:
            raise Drawn("draws numbers with Python's random")
        if refused and _bytes(np.random.get_state()) != _bytes(before[1]):
            raise Drawn("draws numbers with numpy")
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def _bytes(state):
    return tuple(np.asarray(part).tobytes() for part in state)


def refusing(original: Callable, active: Callable[[], bool]) -> Callable:
    """A function of `ASKED` that may be called only as long as not `active()`."""

    def asked(*args: Any, **kwargs: Any) -> Any:
        if active():
            raise Drawn(TENSORFLOW)
        return original(*args, **kwargs)

    return asked
