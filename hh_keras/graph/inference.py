"""One operation of a model, run as the model runs it in inference."""

from typing import Any

import keras


def infer(op: Any, args: Any, kwargs: Any) -> Any:
    """The outputs of an operation's call within `model(x, training=False)`.

    A model tells each of its layers whether it is trained, whatever was said when they
    were called to build it; some train unless told otherwise, such as Keras' random
    augmentation, and some have such layers inside.

    Args:
        op: a layer or an operation.
        args, kwargs: what it is called with.
    """
    if getattr(op, "_call_has_training_arg", False):
        return op(*args, **{**kwargs, "training": False})
    if not isinstance(op, keras.layers.Layer) or not op._layers:
        return op(*args, **kwargs)
    around = _Around(name="inference", dtype="float32", autocast=False)
    return around(keras.ops.zeros(()), run=lambda: op(*args, **kwargs), training=False)


class _Around(keras.layers.Layer):
    def call(self, _, run, training=None):
        return run()
