"""Trials: what a layer without a rule does to channels, found out by running it.

A trial proves itself. A layer *works channel by channel* if changing half of the
channels never moves an output of the others, for every bit of their numbers; it *can
be made smaller* if, built on fewer channels with its weights cut, it gives exactly the
outputs that were kept. What is not proved is frozen, with what was seen. Trials run on
small tensors and on copies of the layer, never on the user's own.
"""

from hh_keras.graph.trial.finding import Finding
from hh_keras.graph.trial.trying import try_call

__all__ = ["Finding", "try_call"]
