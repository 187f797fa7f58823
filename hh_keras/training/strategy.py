"""Which devices share the work."""

import tensorflow as tf

from hh_keras.errors import HHError

STRATEGIES = ("auto", "mirrored", "default")


def strategy(name="auto"):
    """Returns the `tf.distribute.Strategy` to build and train a model under.

    Args:
        name: "auto" mirrors the model over all GPUs if there are any, and
            otherwise uses TensorFlow's default (one device); "mirrored" and
            "default" ask for one of the two.

    Returns:
        A strategy. Make the model inside `strategy.scope()`; `train` then finds
        it by itself. Batch sizes are global: replicas share each batch.

    Raises:
        HHError: no strategy has this name.

    Example:
        >>> with strategy().scope():
        ...     model = keras.applications.ResNet50(weights=None)
    """
    if name not in STRATEGIES:
        raise HHError(f"strategy {name!r}: choose one of {', '.join(STRATEGIES)}.")
    if name == "mirrored" or (
        name == "auto" and tf.config.list_physical_devices("GPU")
    ):
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()
