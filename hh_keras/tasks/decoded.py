"""Examples decoded at once, or when they are asked for if memory is short."""

from __future__ import annotations

import collections
import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hh_keras.data.decoding import native_shape
from hh_keras.errors import DataError


def decoded(
    examples: Sequence,
    decode: Callable,
    note: Callable,
    most: float,
    each: int,
    kinds: str = "are unreadable",
) -> tuple[list[Callable], int]:
    """Returns `(found, window)`: a function for each example, that gives it decoded.

    They are decoded now if they fit into `most` bytes; then bad ones are gone, and
    `window` is all of them. Else each may return None when it is asked, and `window` is
    how many fit into the memory at a time.

    Args:
        examples: have a `place`, which names them in messages.
        decode: function of an example; raises OSError or ValueError if it is bad.
        note: `note(place, error)` of bad ones, see `hh_keras.data.pipeline.left_out`.
        most: bytes that all may take together.
        each: bytes that one takes.
        kinds: what all are if none is good, for the message.

    Raises:
        DataError: not one of them is good.
    """
    first: list[Exception] = []

    def tried(example):
        try:
            return decode(example)
        except (OSError, ValueError) as error:
            first.append(error)
            note(example.place.encode(), error)
            return None

    if each * len(examples) <= most:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = [one for one in pool.map(tried, examples) if one]
        if not found:
            raise DataError(
                f"not a single image of the data set can be used: all {kinds}. The "
                f"first reason: {first[0]}."
            )
        return [functools.partial(_same, one) for one in found], len(found)
    window = max(1, int(most // each // 2))
    kept = _Recent(tried, 2 * window)
    return [functools.partial(kept, x) for x in examples], window


def _same(one):
    return one


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


def first_size(examples: Sequence[Any], note: Callable) -> tuple[int, int, int]:
    """The shape of the first image that can be read, of the first hundred.

    Args:
        examples: have a `place` and a function `read` that gives the file's bytes.
        note: as for `decoded`.

    Raises:
        DataError: none can be read.
    """
    for example in examples[:100]:
        try:
            return native_shape(example.read())
        except (OSError, ValueError) as error:
            note(example.place.encode(), error)
    raise DataError(
        f"not one of the first images can be read; the first is {examples[0].place}."
    )
