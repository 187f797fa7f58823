"""Exported networks that restore images run over tiles.

A `.tflite` file takes tiles of one size, a SavedModel whole images.
"""

from collections.abc import Callable
from pathlib import Path

import keras

from hh_keras import export as exporting
from hh_keras.errors import ModelError
from hh_keras.tasks.restoration.tiling import restorer
from hh_keras.tasks.tiles import overlap_of
from hh_keras.tasks.tiling import size_multiple


def runner(path: Path | str, model: keras.Model | None = None) -> Callable:
    """An exported file as `f(image) → image`, float32 `(h, w, c)`.

    Args:
        path: of a `.tflite` file or a SavedModel.
        model: the Keras model it came from; None believes the file's sidecar.

    Raises:
        ModelError: it is not known how far the file's network sees.
    """
    run = exporting.open_model(path)
    if not str(path).endswith(".tflite"):
        return lambda image: run([image[None]])[0][0]
    height, width, channels = exporting.input_shape(path)
    seen = exporting.tiles_of(path) if model is None else _seen(model)
    if seen is None or height != width:
        raise ModelError(
            f"{path} does not tell how its tiles overlap: its .json is missing or of "
            "another file. Evaluate the .keras file that it was made from."
        )
    return restorer(
        lambda x: run([x])[0], height, seen["overlap"], channels, seen["multiple"]
    )


def _seen(model):
    return {"overlap": overlap_of(model), "multiple": size_multiple(model)}
