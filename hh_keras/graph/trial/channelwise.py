"""Layers that treat every channel by itself."""

from typing import Any

import numpy as np

from hh_keras.graph.trial import costs
from hh_keras.graph.trial.finding import Finding
from hh_keras.graph.trial.subject import (
    Subject,
    Unproved,
    check_close,
    cut_weights,
    equal,
    same,
)

_SCALES = (1.0, 100.0, 0.01, 1e4, 0.0)  # rows of zeros may be told from others


def passing_axes(subject: Subject, op: Any) -> tuple:
    """On which axis of each output every channel depends on itself alone.

    Half of the channels are changed, by the bits of their numbers, each way round: no
    output of the others may move by a bit.

    Returns:
        `(axes, None)`, or `(None, what was seen)`.
    """
    places: list = []
    for training in _modes(subject, op):
        found, seen = _passing_in(subject, op, training, places)
        if found:
            places = found
        elif training and _random_in_training(subject, op):
            break
        else:
            return None, seen
    return tuple(axes[-1] for axes in places), None


def _passing_in(subject, op, training, places):
    """Which of the axes `places` stay in one mode; and what was seen if none do."""
    for scale in _SCALES:
        values = subject.scaled(scale)
        base = subject.run(op, values, training)
        places = places or [
            [a for a, n in enumerate(y.shape) if n == subject.size and a > 0]
            for y in base
        ]
        for chosen in _halves(subject.size):
            others = [subject.changed(values, chosen, 3 * (scale or 1.0))]
            others += [subject.changed(values, chosen, 0.0)] if scale == 1 else []
            moved = [np.zeros(y.shape, bool) for y in base]
            for each in others:
                changed = subject.run(op, each, training)
                moved = [m | ~equal(a, b) for m, a, b in zip(moved, base, changed)]
            places = [_unmoved(*each, chosen) for each in zip(places, moved)]
            if not all(places):
                k = [not axes for axes in places].index(True)
                which = "every output depends" if moved[k].all() else "outputs depend"
                return None, f"{which} on channels that are not their own"
    return places, None


def _unmoved(axes, moved, chosen):
    """The axes on which no output of the channels that were left alone moved."""
    others = np.flatnonzero(~chosen)
    return [axis for axis in axes if not np.take(moved, others, axis).any()]


def _modes(subject, op):
    """Inference; and training, unless it is random there."""
    if not getattr(op, "_call_has_training_arg", False):
        return [None]
    first, second = (subject.run(op, subject.values, True) for _ in range(2))
    return [False, True] if all(map(same, first, second)) else [False]


def _random_in_training(subject, op):
    """Whether outputs move by themselves: something is dropped now and then."""
    free = all(x.shape[:1] == (None,) for x in subject.call.inputs)
    values = [np.repeat(v, 16 if free else 1, 0) for v in subject.values]
    first = subject.run(op, values, True)
    runs = (subject.run(op, values, True) for _ in range(30))
    return not all(all(map(same, first, again)) for again in runs)


def _halves(size):
    """Halves of the channels by the bits of their numbers, each way round."""
    numbers = np.arange(size)
    for bit in range(max(1, int(size - 1).bit_length())):
        chosen = (numbers >> bit & 1).astype(bool)
        yield from (chosen, ~chosen)


def made_smaller(subject: Subject, op: Any, outputs: list, passes: tuple) -> Finding:
    """Proves that a layer that passes channels can be built on fewer of them.

    Raises:
        Unproved: it cannot, or gives other numbers than the kept ones.
    """
    keeps, failed = subject.subsets(subject.size), None
    keeps.append(subject.widened(subject.size))
    for keys in subject.sizes_in_config(subject.size):
        try:
            cuts = [_cut(subject, op, outputs, passes, keep, keys) for keep in keeps]
        except Unproved as seen:
            failed = str(seen)
            continue
        except Exception as error:  # built with sizes that do not fit
            failed = f"cannot be built on fewer channels ({type(error).__name__})"
            continue
        if any(cut != cuts[0] for cut in cuts):
            failed = "its weights do not follow the channels"
            continue
        return Finding(
            passes=passes,
            weights=cuts[0],
            config={key: "in" for key in keys},
            **costs.of_passing(subject, op, keys),
        )
    raise Unproved(failed)


def _cut(subject, op, outputs, passes, keep, keys):
    """Compares the layer on kept channels; returns which axes its weights cut."""
    inputs = subject.kept(keep)
    small = subject.copy({key: len(keep) for key in keys}, inputs)
    axes = cut_weights(op, small, "in", subject.size, keep)
    for y, axis, z in zip(outputs, passes, subject.run(small, inputs), strict=True):
        check_close(np.take(y, keep, axis), z, y)
    return axes
