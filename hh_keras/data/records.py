"""The records of a tfrecord file, read one by one and in any order."""

import functools
import os
from collections.abc import Callable, Iterator

import tensorflow as tf
from google.protobuf.message import DecodeError

from hh_keras.errors import DataError


def records(path: str) -> Iterator[tuple[str, Callable[[], tf.train.Example]]]:
    """The records of a file by where they start; none is read yet.

    Args:
        path: a tfrecord file, not compressed.

    Yields:
        `(place, read)`: a name for messages, and a function that reads the record; it
        raises OSError, or ValueError if the record is damaged.

    Raises:
        DataError: the file is damaged.
    """
    name = os.path.basename(path)
    for number, place in enumerate(_places(path)):
        yield f"{name}__{number}", functools.partial(_example, path, place)


def _places(path):
    """`(offset, length)` of each.

    Each is framed by its length (8 bytes), that one's checksum (4) and its own (4).
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = 0
        while start < size:
            file.seek(start)
            length = int.from_bytes(file.read(8), "little")
            if start + length + 16 > size:
                raise DataError(
                    f"{path} is damaged (a record reaches past its end). Prepare the "
                    "data set again."
                )
            yield start + 12, length
            start += length + 16


def _example(path, place):
    offset, length = place
    with open(path, "rb") as file:
        file.seek(offset)
        content = file.read(length)
    try:
        return tf.train.Example.FromString(content)
    except DecodeError as error:
        raise ValueError("its record is damaged") from error


def encoded_image(read: Callable[[], tf.train.Example], key: str) -> bytes:
    """The bytes of an image file that is a feature of a record.

    Raises:
        OSError, ValueError: as `read`, or there is none.
    """
    found = read().features.feature[key].bytes_list.value
    if not found:
        raise ValueError("its record is damaged")
    return found[0]
