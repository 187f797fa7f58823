"""What a smaller network inherits: as much of the original's outputs as can be had."""

import keras
import numpy as np

from hh_keras.export.float32 import computing_in_float32
from hh_keras.graph.channels import ChannelMap
from hh_keras.search.calibration import Calibration
from hh_keras.search.kept import Kept, measuring
from hh_keras.surgery.compensation import put, solutions
from hh_keras.surgery.following import follow


def inherit(
    model: keras.Model,
    small: keras.Model,
    channel_map: ChannelMap,
    keep: np.ndarray,
    learnt: Calibration,
) -> Kept:
    """Gives a rebuilt network the weights with which it keeps most of the outputs.

    Those that make up for what left, as the original reads it, then as the small
    network itself reads it. Of these and the weights as they were, those stay that keep
    most on examples that were held out, or, if there are too few of them, the last; of
    one batch, the weights as they were.

    Args:
        model: the original, as it was traced.
        small: `rebuild(model, plan)`, with inherited weights; they are changed.
        channel_map: of the original.
        keep: bool `(channel_map.size,)`, the plan's channels.
        learnt: from calibration data.

    Returns:
        What is kept.
    """
    moments, held_out = learnt.moments, learnt.held_out
    both = model, small, channel_map, keep, learnt.probe, held_out
    if not held_out and len(learnt.batches) < 2:  # nothing to try it on
        return measuring(*both)()
    measured = measuring(*both, layers=False)
    best, weights = measured().share, small.get_weights()
    solved = solutions(model, channel_map, keep, moments)
    for stage in (
        lambda: put(small, channel_map, keep, solved),
        lambda: follow(model, small, channel_map, keep, solved, learnt.batches),
    ):
        with computing_in_float32(model), computing_in_float32(small):
            stage()
        share = measured().share
        if not held_out or share > best:
            best, weights = share, small.get_weights()
    small.set_weights(weights)
    return measuring(*both)()
