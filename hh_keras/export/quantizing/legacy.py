"""tf_keras and tensorflow-model-optimization, which are optional."""

import functools
import os
import warnings
from typing import Any

import tensorflow as tf

from hh_keras.errors import HHError

_SWITCH = "TF_USE_LEGACY_KERAS"


@functools.cache
def modules() -> tuple[Any, Any]:
    """Imports both and leaves Keras 3 as it was.

    tensorflow-model-optimization turns all of the process to the legacy Keras through
    an environment variable; here it stays what it was.

    Returns:
        `(tf_keras, tensorflow_model_optimization.quantization.keras)`.

    Raises:
        HHError: one of them is not installed.
    """
    before = os.environ.get(_SWITCH)
    _ = tf.keras.layers  # from here on `tf.keras` stays Keras 3
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of distutils
            import tf_keras
            from tensorflow_model_optimization.quantization import keras as quantization
    except ImportError as error:
        raise HHError(
            "quantisation-aware training needs tensorflow-model-optimization and "
            f"tf_keras ({error}): pip install 'hh_keras[quantize]', or quantise after "
            'training, with quantize="int8" and representative images.'
        ) from error
    finally:
        os.environ.pop(_SWITCH, None)
        if before is not None:
            os.environ[_SWITCH] = before
    return tf_keras, quantization
