"""Training within a time: how many steps fit, by the speed of the first ones."""

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.training import checkpoints
from hh_keras.training.replicas import chiefs

_FEW, _MOST, _SHARE = 3, 200, 0.02  # steps that are timed, and the time they may take

clock = time.perf_counter


def speed(
    trainee: keras.Model,
    epoch: Callable[[], tf.data.Dataset],
    validation: tf.data.Dataset | None,
    seconds: float,
) -> tuple[float, float]:
    """How long a step takes, and what an epoch takes besides its steps.

    The model learns and forgets it again: afterwards it is bit for bit what it was.

    Args:
        trainee: a compiled model, compiled for validation, too.
        epoch: makes the batches of an epoch, which takes time as well.
        validation: a batch of it, or None.
        seconds: the time there is for the whole training.

    Returns:
        Seconds of a step, and seconds besides: all but those of validating further
        batches.
    """
    before, strategy = checkpoints.values(trainee), trainee.distribute_strategy
    endless = epoch().repeat()
    _seconds(trainee, endless.take(1))  # compiles
    few = _seconds(trainee, endless.take(_FEW))
    count = np.clip(_SHARE * seconds / few * _FEW, 2 * _FEW, _MOST)
    # Workers step together: the chief says how often.
    count = int(chiefs(np.array([count], "float32"), strategy)[0])
    many = _seconds(trainee, endless.take(count))
    step = (many - few) / (count - _FEW)
    if step <= 0:  # a machine that was busy at first
        step = many / count
    started = clock()
    _seconds(trainee, epoch().take(1), validation)
    besides = max(0.0, clock() - started - step)
    with strategy.scope():
        checkpoints.restore(trainee, before)
    return step, besides


def _seconds(trainee, dataset, validation=None):
    started = clock()
    trainee.fit(dataset, validation_data=validation, shuffle=False, verbose=0)
    return clock() - started


def fitting(seconds: float, step: float, besides: float, steps: int) -> tuple[int, int]:
    """Divides a time into epochs of equal length, the last one ending with it.

    Args:
        seconds: the time.
        step: seconds of a step.
        besides: seconds that an epoch takes besides, such as those of validation.
        steps: batches of the training data.

    Returns:
        Epochs, and steps of each: at least 1 and at most `steps`.

    Examples:
        >>> fitting(100.0, step=0.1, besides=1.0, steps=300)
        (4, 240)
        >>> fitting(100.0, step=1.0, besides=10.0, steps=300)
        (1, 90)
    """
    epochs = max(1, math.ceil(seconds / (steps * step + besides)))
    return epochs, int(min(max((seconds / epochs - besides) / step, 1), steps))


def plan(
    seconds: float, started: float, step: float, besides: float, keeper: Any
) -> tuple[int, int]:
    """What fits into the rest of a time, the same for all workers.

    Args:
        seconds: the time of the whole training.
        started: by `clock`, when it began.
        step, besides: see `fitting`.
        keeper: the `Keeper` of the training.

    Returns:
        Epochs, and steps of each.
    """
    left = seconds - (clock() - started)
    span = fitting(left, step, besides, keeper.steps)
    strategy = keeper.network.distribute_strategy
    epochs, steps = (int(n) for n in chiefs(np.array(span, "float32"), strategy))
    if left - besides < 0.5 * seconds:
        warnings.warn(
            f"training {keeper.name}: of {seconds:.0f} seconds, {seconds - left:.0f} "
            f"went before the first step, and an epoch takes {besides:.0f} besides its "
            "steps; take more time, or fewer validation images.",
            stacklevel=2,
        )
    keeper.say(
        f"  {keeper.name}: a step takes {step:.3g} s; {epochs} x {steps} steps end in "
        f"about {epochs * (steps * step + besides):.0f} s"
    )
    return epochs, steps
