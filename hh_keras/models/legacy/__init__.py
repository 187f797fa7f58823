"""Models that Keras 2 and tf_keras wrote, read with Keras 3.

Keras 3 has a loader for them, but it refuses what its layers no longer take (`groups`
of a depthwise convolution, `/` in a name, TensorFlow operations), and some of what it
takes it gets wrong: the axes of a normalisation over several are lost, layers shared
by nested models come apart, and `hard_sigmoid` has become another function. Here the
old description is translated, entry by entry: each is known to mean the same today, or
the file is refused with the entry's name. Nothing in a file is ever executed.
"""

from hh_keras.models.legacy.graphs import model_from_description
from hh_keras.models.legacy.modules import model_with_modules
from hh_keras.models.legacy.weights import check_order, load_h5_weights, set_trainable

__all__ = [
    "check_order",
    "load_h5_weights",
    "model_from_description",
    "model_with_modules",
    "set_trainable",
]
