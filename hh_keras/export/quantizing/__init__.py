"""Training with the rounding of int8 in sight.

`carry` takes a Keras 3 network to tf_keras, the only Keras that
tensorflow-model-optimization knows; `quantization_aware` trains it there, and
`hh_keras.export.tflite` writes what it learnt.
"""

from hh_keras.export.quantizing.carrying import Carried, carry
from hh_keras.tasks.classification.quantization import (
    QuantizationAware,
    quantization_aware,
)

__all__ = ["Carried", "QuantizationAware", "carry", "quantization_aware"]
