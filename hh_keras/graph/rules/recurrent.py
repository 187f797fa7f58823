"""Recurrent layers: their channels stay, what they cost is known."""

import math
from typing import Any

import keras

from hh_keras.graph.rules.registry import Effect, RuleCall, register_rule

_L = keras.layers


@register_rule(_L.SimpleRNN, _L.GRU, _L.LSTM, _L.Bidirectional)
def recurrent(layer: Any, call: RuleCall) -> Effect:
    """Every matrix is used once a step; a `Bidirectional` has those of both ways."""
    effect = call.stops("feeds its outputs back")
    known = (_L.SimpleRNN, _L.GRU, _L.LSTM)
    inner = getattr(layer, "forward_layer", layer)
    steps = call.positions(call.x.shape, -1)
    if not isinstance(inner, known):
        return effect
    weights = sum(math.prod(w.shape) for w in layer.weights if "kernel" in w.name)
    macs = None if steps is None else steps * weights
    return call.counted(effect, macs)
