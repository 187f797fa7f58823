"""Which of several scores to select by: those after which most of the outputs is left.

How much the errors of one kernel count beside those of another can be told from slopes
only as long as they are small. So channels are eliminated in several ways, and for each
budget the way is taken that keeps most on examples that were held out.
"""

import math
from collections.abc import Callable

import keras
import numpy as np

from hh_keras.export.float32 import computing_in_float32
from hh_keras.graph.channels import ChannelMap
from hh_keras.progress import progress
from hh_keras.search.calibration import Calibration
from hh_keras.search.elimination import elimination_scores
from hh_keras.search.kept import measuring
from hh_keras.surgery.compensation import compensate
from hh_keras.surgery.plan import Plan
from hh_keras.surgery.rebuild import rebuild

CAUTIONS = (0.5, 1.0, 0.0)  # the first if nothing is held out


def candidates(
    model: keras.Model, channel_map: ChannelMap, learnt: Calibration
) -> list[np.ndarray]:
    """Scores by elimination, for each of `CAUTIONS`; one if nothing is held out."""
    cautions = CAUTIONS if learnt.held_out else CAUTIONS[:1]
    return elimination_scores(model, channel_map, learnt.moments, cautions=cautions)


def best(
    model: keras.Model,
    channel_map: ChannelMap,
    found: list[np.ndarray],
    choose: Callable[[np.ndarray], Plan],
    learnt: Calibration,
) -> np.ndarray:
    """The scores whose plan, compensated, keeps most of the outputs.

    Args:
        model: the traced model.
        channel_map: its channels.
        found: of `candidates`.
        choose: scores → plan.
        learnt: from calibration data.

    Returns:
        One of `found`.
    """
    if len(found) == 1:
        return found[0]

    def share(scores):
        plan = choose(scores)
        small, keep = rebuild(model, plan), plan.keep_in(channel_map)
        with computing_in_float32(model), computing_in_float32(small):
            compensate(model, small, channel_map, keep, learnt.moments)
        probe, held_out = learnt.probe, learnt.held_out
        kept = measuring(
            model, small, channel_map, keep, probe, held_out, layers=False
        )()
        return kept.share if kept.share == kept.share else -math.inf  # NaN is lost

    return max(progress(found, "comparing ways to choose"), key=share)
