"""Activations as steps that int8 kernels know."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from hh_keras.export.quantizing.legacy import modules
from hh_keras.export.quantizing.tape import SYMMETRIC, UNIT, Tape, refused


def activate(tape: Tape, path: str, op: Any, function: Any, x: Any) -> Any:
    """Applies an activation function.

    Args:
        tape: the `Tape`.
        path, op: the Keras 3 layer that it is part of, for names and errors.
        function: of Keras 3, or its name; None does nothing.
        x: tensor.

    Returns:
        A tensor.

    Raises:
        ModelError: no int8 kernel computes it.
    """
    name = function if isinstance(function, str) else _name_of(function)
    make = ACTIVATIONS.get(name)
    if make is None:
        raise refused(path, op, f"no int8 kernel computes its activation {name!r}")
    return make(tape, path, x)


def _name_of(function):
    if function is None:
        return "linear"
    return getattr(function, "__name__", type(function).__name__)


def clipped(tape: Tape, path: str, x: Any, most: float | None = None) -> Any:
    """max(x, 0), or at most `most`."""
    layers = modules()[0].layers
    return tape.step(path, lambda name: layers.ReLU(most, name=name), x)


def leaky(tape: Tape, path: str, x: Any, slope: float = 0.2) -> Any:
    layers = modules()[0].layers
    return tape.step(path, lambda name: layers.LeakyReLU(slope, name=name), x)


def _standard(kind, scale, tape, path, x):
    layers = modules()[0].layers
    return tape.step(
        path, lambda name: layers.Activation(kind, name=name), x, scale=scale
    )


def product(tape: Tape, path: str, x: Any, y: Any) -> Any:
    layers = modules()[0].layers
    return tape.step(path, lambda name: layers.Multiply(name=name), [x, y])


def _silu(tape, path, x):
    return product(tape, path, x, _standard("sigmoid", UNIT, tape, path, x))


def _hard_sigmoid(tape, path, x):
    x = tape.compute(path, lambda v: v + 3.0, x)
    x = clipped(tape, path, x, 6.0)
    return tape.compute(path, lambda v: v * (1 / 6), x)


def _hard_silu(tape, path, x):
    return product(tape, path, x, _hard_sigmoid(tape, path, x))


def _gelu(tape, path, x):
    return tape.compute(path, lambda v: tf.nn.gelu(v, approximate=False), x)


ACTIVATIONS: dict[str, Callable] = {
    "linear": lambda tape, path, x: x,
    "relu": clipped,
    "relu6": functools.partial(clipped, most=6.0),
    "leaky_relu": leaky,
    "gelu": _gelu,
    "sigmoid": functools.partial(_standard, "sigmoid", UNIT),
    "softmax": functools.partial(_standard, "softmax", UNIT),
    "tanh": functools.partial(_standard, "tanh", SYMMETRIC),
    "silu": _silu,
    "swish": _silu,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_silu,
    "hard_swish": _hard_silu,
}
