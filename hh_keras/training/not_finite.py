"""Where numbers that are none come from: the data, or the training."""

from collections.abc import Iterable

import keras
import numpy as np


def of_batches(batches: Iterable) -> str:
    """What is not finite, of the first batch in which something is not.

    Args:
        batches: nests of arrays, as a model is trained on, from an epoch's first on.

    Returns:
        Such as "step 2, example 3 of inputs['age']"; "" if all numbers are finite.
    """
    for number, batch in enumerate(batches):
        parts = batch if isinstance(batch, tuple) else (batch,)
        for path, values in keras.tree.flatten_with_path(parts):
            values = np.asarray(values)
            if values.dtype.kind != "f" or np.isfinite(values).all():
                continue
            wrong = ~np.isfinite(np.atleast_1d(values))
            wrong = wrong.reshape(len(wrong), -1).any(1)
            place = "".join(f"[{key!r}]" for key in path[1:])
            part = ("inputs", "labels", "weights")[path[0]] + place
            return f"step {number + 1}, example {np.argmax(wrong) + 1} of {part}"
    return ""
