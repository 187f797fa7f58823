"""Which functions treat every number by itself."""

from typing import Any

import keras
import numpy as np

from hh_keras.graph.cloning import clone_op
from hh_keras.graph.rules.registry import RuleCall

# Known, so that they need not be tried.
_NAMES = """
    celu elu exponential gelu hard_sigmoid hard_silu leaky_relu linear log_sigmoid mish
    relu relu6 selu sigmoid silu softplus softsign tanh
""".split()
_KNOWN = {
    getattr(keras.activations, name)
    for name in _NAMES
    if hasattr(keras.activations, name)
}
_TRIED: dict = {}  # id of a function → (the function, whether it mixes)


def mixes_channels(activation: Any) -> bool:
    """Whether an activation's outputs depend on more than the number at their place.

    A function that is not known is tried on a small tensor: numbers are changed by the
    bits of their places, and no other output may move.

    Args:
        activation: a function of a tensor, a layer, or None.
    """
    if activation is None:
        return False
    if isinstance(activation, keras.layers.Activation):
        return mixes_channels(activation.activation)
    if isinstance(activation, keras.Layer):
        if isinstance(activation, keras.layers.PReLU) or activation.variables:
            return True  # has weights of its own size
        return _tried(activation)
    return activation not in _KNOWN and _tried(activation)


def _tried(function):
    # The function is kept too, so that no other can take its place in memory.
    if id(function) not in _TRIED:
        _TRIED[id(function)] = function, _mixes(function)
    return _TRIED[id(function)][1]


def _mixes(function):
    if isinstance(function, keras.Layer):
        function = clone_op(function)  # calling it would build the user's own
    rng = np.random.default_rng(0)
    places = np.arange(60)
    try:
        for scale in (1.0, 20.0):
            x, other = (rng.normal(0, scale, 60).astype("float32") for _ in range(2))
            y = _values(function, x)
            if not _same(y, _values(function, x)).all():
                return True
            for bit in range(6):
                for chosen in ((places >> bit & 1) == side for side in (0, 1)):
                    moved = ~_same(y, _values(function, np.where(chosen, other, x)))
                    if moved[~chosen].any():
                        return True
    except Exception:  # it wants another shape, or is no function of tensors
        return True
    return bool(getattr(function, "variables", None))


def _values(function, x):
    result = function(keras.ops.convert_to_tensor(x.reshape(3, 4, 5)))
    return np.asarray(result).reshape(60)


def _same(a, b):
    return (a == b) | ((a != a) & (b != b))


def activation_name(activation: Any) -> str:
    return getattr(activation, "__name__", None) or type(activation).__name__


def freeze_if_mixed(layer: Any, call: RuleCall, ids: np.ndarray) -> None:
    """Freezes a layer's new channels if its own activation works across them."""
    activation = getattr(layer, "activation", None)
    if mixes_channels(activation):
        call.freeze(
            ids,
            f"{call.path}: activation '{activation_name(activation)}' "
            "works across channels",
        )
