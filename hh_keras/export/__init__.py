"""From a Keras model to the files that serve it, and proof that they agree.

`saved_model` and `tflite` write, `predict` runs any of the files, `parity` compares a
file with the model it came from, `latency` and `latencies` time files.
"""

from hh_keras.export.exchange import onnx, openvino
from hh_keras.export.float32 import rounding
from hh_keras.export.lite import QUANTIZE, tflite
from hh_keras.export.parity import Parity, agreement, parity
from hh_keras.export.prediction import input_shape, open_model, predict
from hh_keras.export.quantizing import Carried, QuantizationAware, carry
from hh_keras.export.serving import saved_model
from hh_keras.export.sidecar import About, tiles_of, told
from hh_keras.export.signatures import Signature
from hh_keras.export.timing import Latency, input_sizes, latencies, latency

__all__ = [
    "QUANTIZE",
    "About",
    "Carried",
    "Latency",
    "Parity",
    "QuantizationAware",
    "Signature",
    "agreement",
    "carry",
    "input_shape",
    "input_sizes",
    "latencies",
    "latency",
    "onnx",
    "open_model",
    "openvino",
    "parity",
    "predict",
    "rounding",
    "saved_model",
    "tflite",
    "tiles_of",
    "told",
]
