"""Photographs decoded to pairs of images, at once or when they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from hh_keras.data.decoding import decode_image, native_shape
from hh_keras.tasks.decoded import decoded, first_size
from hh_keras.tasks.restoration.degradation import Degradation
from hh_keras.tasks.restoration.photographs import Photograph


def opened(
    photographs: Sequence[Photograph],
    degradation: Degradation,
    channels: int,
    note: Callable,
    most: float,
    least: int,
    unit: int,
) -> tuple[list[Callable], int]:
    """Functions that give `(small or None, clean)`; see `hh_keras.tasks.decoded`."""
    first = first_size(photographs, note)
    each = first[0] * first[1] * channels * (2 if degradation.scale > 1 else 1)
    decode = functools.partial(
        _decoded, degradation=degradation, channels=channels, least=least, unit=unit
    )
    kinds = "are unreadable or smaller than a patch"
    return decoded(photographs, decode, note, most, each, kinds)


def _decoded(photograph, degradation, channels, least, unit):
    """Decodes an image to uint8 `(small or None, clean)`, cut to whole units.

    Raises:
        ValueError: the image is damaged or too small, or its small version does not
            belong to it.
    """
    clean, scale = _read(photograph.read, channels), degradation.scale
    height, width = (n // (unit * scale) * unit for n in clean.shape[:2])
    if min(height, width) < least:
        need = least * scale
        raise ValueError(
            f"it has {clean.shape[1]}x{clean.shape[0]} pixels, fewer than the "
            f"{need}x{need} needed"
        )
    full, clean = clean, clean[: height * scale, : width * scale]
    if scale == 1:
        return None, clean
    if photograph.read_small is None:
        return degradation.apply(clean, None).astype(np.uint8), clean
    small = _read(photograph.read_small, channels)
    if tuple(n // scale for n in full.shape[:2]) != small.shape[:2]:
        raise ValueError(
            f"its small version has {small.shape[1]}x{small.shape[0]} pixels, which is "
            f"not 1/{scale} of its {full.shape[1]}x{full.shape[0]}: take the data set "
            f"for scale {scale}"
        )
    return small[:height, :width], clean


def _read(read, channels):
    encoded = read()
    return decode_image(encoded, (*native_shape(encoded)[:2], channels))
