"""Latency measured layer by layer on the device at hand, and predicted from counts.

`measure` makes a `LatencyTable` through LiteRT, a JSON file that can be carried to
another machine; `predict_latency` reads a network's latency off it; and
`hh_keras.Budget(latency_ms=..., latency_table=...)` makes a search keep to it.
"""

from hh_keras.latency.comparing import compare
from hh_keras.latency.layers import LayerTime, layer_times
from hh_keras.latency.measure import device, measure
from hh_keras.latency.prediction import (
    LatencyModel,
    architecture,
    latency_model,
    predict_latency,
)
from hh_keras.latency.table import LatencyTable
from hh_keras.latency.units import units

__all__ = [
    "LatencyModel",
    "LatencyTable",
    "LayerTime",
    "architecture",
    "compare",
    "device",
    "layer_times",
    "latency_model",
    "measure",
    "predict_latency",
    "units",
]
