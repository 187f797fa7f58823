"""Numpy's numbers beside symbolic tensors, as TensorFlow takes them beside its own.

`x / np.float64(0.9)` is of `x`'s type in TensorFlow. Beside a symbolic tensor of Keras
it would be of double precision, and what follows of another type than in the class.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

_NAMES = "add sub mul truediv floordiv mod pow".split()
_OPERATORS = [f"__{r}{name}__" for name in _NAMES for r in ("", "r")]
_OPERATORS += [f"__{name}__" for name in "lt le gt ge eq ne matmul rmatmul".split()]


def _like(value: Any, x: Any) -> Any:
    """A number or an array as TensorFlow makes a tensor of it beside `x`."""
    if isinstance(value, np.generic) and np.ndim(value) == 0:
        return value.item()
    whole = keras.backend.is_int_dtype(x.dtype)
    kinds = "iu" if whole else "iuf"
    if isinstance(value, np.ndarray) and value.dtype.kind in kinds:
        return keras.ops.convert_to_tensor(value, x.dtype)
    return value


def _operator(original):
    return lambda x, other: original(x, _like(other, x))


@contextlib.contextmanager
def as_tensorflow_takes_them() -> Iterator[None]:
    """For a while symbolic tensors take numpy's numbers as TensorFlow's do."""
    kind: Any = keras.KerasTensor
    before = {name: vars(kind)[name] for name in _OPERATORS if name in vars(kind)}
    for name, original in before.items():
        setattr(kind, name, _operator(original))
    try:
        yield
    finally:
        for name, original in before.items():
            setattr(kind, name, original)
