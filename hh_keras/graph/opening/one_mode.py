"""Layers that are always in training, or never, whatever their model is in.

A functional model has one mode for all of its layers and overrules what a call says.
They are registered, so that a file of an opened model needs `import hh_keras` only.
"""

from typing import Any

import keras

from hh_keras.graph.rules import register_rule
from hh_keras.graph.rules.registry import RULES

_L = keras.layers
_registered = keras.saving.register_keras_serializable(package="hh_keras")


@_registered
class StillBatchNormalization(keras.layers.BatchNormalization):
    """A `BatchNormalization` that is trained, but keeps its statistics."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs, training=False, mask=mask)


@_registered
class LiveBatchNormalization(keras.layers.BatchNormalization):
    """A `BatchNormalization` by the statistics of the batch, outside training too."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs, training=True, mask=mask)


def _always(kind):
    """A layer that drops or adds noise outside training too."""

    def call(self, inputs, training=None):
        return kind.call(self, inputs, training=True)

    about = f"A `{kind.__name__}` that is always in training."
    members = {"call": call, "__doc__": about, "__module__": __name__}
    return _registered(type(f"Always{kind.__name__}", (kind,), members))


STILL = {_L.BatchNormalization: StillBatchNormalization}
ALWAYS = {_L.BatchNormalization: LiveBatchNormalization}
for _kind in (
    *(_L.Dropout, _L.SpatialDropout1D, _L.SpatialDropout2D, _L.SpatialDropout3D),
    *(_L.AlphaDropout, _L.GaussianDropout, _L.GaussianNoise),
):
    ALWAYS[_kind] = globals()[f"Always{_kind.__name__}"] = _always(_kind)

for _kind, _other in (*STILL.items(), *ALWAYS.items()):
    register_rule(_other)(RULES[_kind])
