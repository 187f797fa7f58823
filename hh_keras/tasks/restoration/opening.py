"""Photographs decoded to pairs of images, at once or when they are asked for."""

from __future__ import annotations

import collections
import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hh_keras.data.decoding import decode_image, native_shape
from hh_keras.errors import DataError
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
    """Returns `(images, window)`: functions that give `(small or None, clean)`.

    They are decoded now if they fit into `most` bytes; then bad ones are gone, and
    `window` is all of them. Else each may return None when it is asked, and `window` is
    how many fit into the memory at a time.
    """
    first = _first_size(photographs, note)
    each = first[0] * first[1] * channels * (2 if degradation.scale > 1 else 1)
    decode = functools.partial(
        _decoded, degradation=degradation, channels=channels, least=least, unit=unit
    )

    def tried(photograph):
        try:
            return decode(photograph)
        except (OSError, ValueError) as error:
            note(photograph.place.encode(), error)
            return None

    if each * len(photographs) <= most:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = [pair for pair in pool.map(tried, photographs) if pair]
        if not found:
            raise DataError(
                "not a single image of the data set can be used: all are unreadable or "
                "smaller than a patch."
            )
        return [functools.partial(_same, pair) for pair in found], len(found)
    window = max(1, int(most // each // 2))
    kept = _Recent(tried, 2 * window)
    return [functools.partial(kept, x) for x in photographs], window


def _same(pair):
    return pair


class _Recent:
    """The results of a function for the last few arguments, for several threads."""

    def __init__(self, function, size):
        self.function, self.size = function, size
        self.found, self.lock = collections.OrderedDict(), threading.Lock()

    def __call__(self, key):
        with self.lock:
            if key in self.found:
                self.found.move_to_end(key)
                return self.found[key]
        value = self.function(key)
        with self.lock:
            self.found[key] = value
            while len(self.found) > self.size:
                self.found.popitem(last=False)
        return value


def _first_size(photographs, note):
    """The shape of the first image that can be read, of the first hundred."""
    for photograph in photographs[:100]:
        try:
            return native_shape(photograph.read())
        except (OSError, ValueError) as error:
            note(photograph.place.encode(), error)
    raise DataError(
        f"not one of the first images can be read; the first is {photographs[0].place}."
    )


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
