"""Does an exported file say the same as the model it came from?"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from hh_keras.errors import ModelError
from hh_keras.export.prediction import predict


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far a file's outputs are from its model's, on the same images.

    Attributes:
        max_abs: largest absolute difference of any output value.
        mean_abs: mean absolute difference.
        spread: largest minus smallest value the model puts out on these images.
        relative: `max_abs / spread`.
        top1_agreement: share of examples, 0 to 1, with the same largest output; None
            of images, grey or RGB.
        examples: number of images compared.

    Examples:
        >>> wanted, found = np.array([[0.1, 0.9]]), np.array([[0.1, 0.8]])
        >>> near = hh_keras.export.agreement([wanted], [found])
        >>> round(near.max_abs, 3), round(near.spread, 3), near.top1_agreement
        (0.1, 0.8, 1.0)
    """

    max_abs: float
    mean_abs: float
    spread: float
    relative: float
    top1_agreement: float | None
    examples: int


def parity(
    model: keras.Model,
    path: str | Path,
    images: Any,
    read: Callable | None = None,
) -> Parity:
    """Compares an exported file with the model it came from.

    Args:
        model: the Keras model, or the path of its `.keras` file.
        path: SavedModel directory or `.tflite` file made from it.
        images: float array of shape `(n, height, width, channels)`, n at least 1; real
            images, since random ones exercise few of a trained network's paths. A
            tuple of such for networks of several images.
        read: what the outputs, a list of arrays, lead to: a list of arrays that is
            compared in their place; None compares outputs.

    Returns:
        A `Parity`. With several outputs, differences and spread are over all of them.

    Raises:
        ModelError: the file cannot be loaded or run, or puts out other shapes.

    Examples:
        >>> path = hh_keras.export.tflite(model, "model.tflite", quantize="float16")
        >>> found = hh_keras.export.parity(model, path, images)
        >>> found.examples, found.relative < 0.01
        (16, True)
    """
    wanted = _outputs(predict(model, images))
    found = _outputs(predict(path, images))
    shapes = [a.shape for a in wanted], [a.shape for a in found]
    if shapes[0] != shapes[1]:
        raise ModelError(
            f"{path} puts out {shapes[1]}, its model {shapes[0]}; it was made from "
            "another model. Export again."
        )
    if read is not None:
        wanted, found = read(wanted), read(found)
    return agreement(wanted, found)


def agreement(wanted: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> Parity:
    """Compares outputs that are there already.

    Args:
        wanted: list of arrays, the model's outputs on some images.
        found: list of arrays of the same shapes, the file's outputs on them.

    Returns:
        A `Parity`.

    Examples:
        >>> wanted = np.array([[0.1, 0.9], [0.6, 0.4]])
        >>> found = np.array([[0.1, 0.8], [0.4, 0.6]])
        >>> hh_keras.export.agreement([wanted], [found]).top1_agreement
        0.5
    """
    differences = [np.abs(a - b) for a, b in zip(wanted, found, strict=True)]
    # Of numpy, which passes NaN on wherever it stands.
    low, high = np.min([a.min() for a in wanted]), np.max([a.max() for a in wanted])
    spread, largest = float(high - low), float(np.max([d.max() for d in differences]))
    agreements = [
        np.mean(a.argmax(axis=-1) == b.argmax(axis=-1))
        for a, b in zip(wanted, found, strict=True)
    ]
    images = all(a.ndim == 4 and a.shape[-1] in (1, 3) for a in wanted)
    total = sum(d.sum(dtype="float64") for d in differences)
    return Parity(
        max_abs=largest,
        mean_abs=float(total / sum(d.size for d in differences)),
        spread=spread,
        relative=largest / spread if spread > 0 else float(largest > 0),
        top1_agreement=None if images else float(np.mean(agreements)),
        examples=len(wanted[0]),
    )


def _outputs(predicted):
    return predicted if isinstance(predicted, list) else [predicted]
