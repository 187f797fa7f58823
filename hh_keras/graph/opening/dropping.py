"""Layers that drop something by chance that no graph draws again, as `Dropout`.

Stochastic depth is often written with TensorFlow's random numbers: what is drawn cannot
be followed, but what comes out tells. Outside training such a layer is the identity; in
training numbers are either zero or multiplied by 1 / (1 - rate), and so many of them
are zero as the rate says.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras.src.backend.common import global_state

from hh_keras.graph.cloning import clone_op

_EXAMPLES, _SIZE = 2048, 2


def as_dropout(layer: Any, rank: int) -> dict | None:
    """The arguments of a `Dropout` that does the same on tensors of that rank, or None.

    Args:
        layer: a layer of one's own; it is not called, but a copy of it.
        rank: of what it is called on.
    """
    return _found(layer, rank) if _may_drop(layer) else None


def _may_drop(layer):
    inner = list(layer._flatten_layers(include_self=False))
    return not inner and not layer.weights and layer._call_has_training_arg


def _found(layer, rank):
    rng = np.random.default_rng(0)
    shape = (_EXAMPLES, *[_SIZE] * (rank - 1))
    x = rng.uniform(1, 2, shape).astype("float32")
    context = global_state.get_global_attribute("current_call_ctx")
    # A call in training within another one would put that into training too.
    global_state.set_global_attribute("current_call_ctx", None)
    try:
        copy = clone_op(layer)
        still = np.asarray(copy(x, training=False))
        y, other = (np.asarray(copy(x, training=True)) for _ in range(2))
    except Exception:  # a user's layer may raise anything
        return None
    finally:
        global_state.set_global_attribute("current_call_ctx", context)
    if rank < 2 or still.tobytes() != x.tobytes() or y.shape != x.shape:
        return None
    rate, mask = _rate(x, y), y != 0
    together = [bool((mask == mask.take([0], i)).all()) for i in range(rank)]
    if rate is None or rate and (together[0] or (y == other).all()):
        return None
    draws = mask[np.ix_(*[range(1 if t else n) for t, n in zip(together, shape)])]
    dropped, spread = 1 - draws.mean(), (rate * (1 - rate) / draws.size) ** 0.5
    if abs(dropped - rate) > 6 * spread:
        return None
    noise = tuple(1 if t and i else None for i, t in enumerate(together))
    policy = layer.dtype_policy
    return {"rate": rate, "noise_shape": noise, "dtype": policy, "name": layer.name}


def _rate(x, y):
    """The rate at which what is kept is multiplied by 1 / (1 - rate), or None."""
    factors = y[y != 0] / x[y != 0]
    if not factors.size or np.ptp(factors) > 1e-5:
        return None
    rate = round(1 - 1 / float(factors.mean()), 6)
    return max(rate, 0.0) if -1e-6 <= rate < 1 else None


@contextlib.contextmanager
def nothing_dropped(dropouts: dict) -> Iterator[None]:
    """Has layers that drop by hand, and the `Dropout`s for them, pass all for a while.

    Two models that draw numbers of their own can be compared then.

    Args:
        dropouts: layer → the `Dropout` in its place.
    """
    with contextlib.ExitStack() as stack:
        for layer, dropout in dropouts.items():
            vars(layer)["call"] = lambda x, training=None, **kwargs: x
            stack.callback(vars(layer).pop, "call")
            stack.callback(setattr, dropout, "rate", dropout.rate)
            dropout.rate = 0.0
        yield
