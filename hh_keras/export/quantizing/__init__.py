"""Training with the rounding of int8 in sight.

`carry` takes a Keras 3 network to tf_keras, the only Keras that
tensorflow-model-optimization knows; a task trains it there, see
`hh_keras.tasks.classification.quantization`, and `hh_keras.export.tflite` writes what
it learnt.
"""

from hh_keras.export.quantizing.carrying import Carried, QuantizationAware, carry

__all__ = ["Carried", "QuantizationAware", "carry"]
