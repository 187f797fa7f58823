"""Layers that a class calls with a `training` of its own, whatever it is called in.

A functional model has one mode for all of its layers, so such a layer is made again as
one that is always in that mode: outside training its dropout is gone.
"""

from typing import Any

import keras

from hh_keras.graph import calls
from hh_keras.graph.cloning import clone_op
from hh_keras.graph.opening.one_mode import ALWAYS, STILL
from hh_keras.graph.replaying import replay

_L = keras.layers
_RATES = ("rate", "stddev", "dropout", "recurrent_dropout")
_DROPS = (
    *(_L.Dropout, _L.SpatialDropout1D, _L.SpatialDropout2D, _L.SpatialDropout3D),
    *(_L.AlphaDropout, _L.GaussianDropout, _L.GaussianNoise),
    *(_L.MultiHeadAttention, _L.GroupQueryAttention, _L.Attention),
    *(_L.AdditiveAttention, _L.SimpleRNN, _L.GRU, _L.LSTM),
)
# Keras multiplies otherwise, and rounds otherwise, where there is no dropout at all. In
# float32 this is zero: nothing is dropped.
_BY_DROPOUT = (_L.MultiHeadAttention, _L.GroupQueryAttention)
_NEXT_TO_NONE = 1e-60
# They take a `training` for the sake of quantisation.
_STEADY = (_L.Dense, _L.EinsumDense, _L.Embedding)


def in_mode(op: Any, training: Any) -> Any:
    """An operation that always does what `op` does in training, or outside it.

    Returns:
        `op` itself if it is like that, a new operation, not built, or None if there is
        none.
    """
    if not calls.is_layer(op) or _steady(op):
        return op
    if calls.is_graph(op):
        inner = {id(x): in_mode(x, training) for _, x in calls.leaf_operations(op)}
        if any(x is None for x in inner.values()):
            return None
        if all(inner[id(x)] is x for _, x in calls.leaf_operations(op)):
            return op
        return replay(op, lambda path, x: _again(x, in_mode(x, training)))
    if type(op) in (ALWAYS if training else STILL):
        new = clone_op(op)
        # Only what a call does differs: regularisers and the like are the clone's.
        new.__class__ = (ALWAYS if training else STILL)[type(op)]
        return new
    if training or type(op) not in _DROPS:
        return None
    config = op.get_config()
    none = _NEXT_TO_NONE if isinstance(op, _BY_DROPOUT) else 0.0
    return clone_op(op, {k: none for k in _RATES if config.get(k)})


def _again(op, new):
    return clone_op(op) if new is op else new


def _steady(layer):
    if isinstance(layer, _L.BatchNormalization):
        return not layer.trainable
    if type(layer) in _DROPS:
        return not any(getattr(layer, key, 0) for key in _RATES)
    if calls.is_graph(layer):
        return False
    inner = layer._flatten_layers(include_self=False)
    mine = not layer._call_has_training_arg or type(layer) in _STEADY
    return mine and all(_steady(x) for x in inner)
