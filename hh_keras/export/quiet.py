"""Silence for what TensorFlow prints."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

import tensorflow as tf


class Printed(Exception):
    """What TensorFlow printed before it failed."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides what TensorFlow prints; of a failure it becomes the exception's cause.

    The converter and the interpreter write straight to file descriptor 2, past
    Python's logging.
    """
    loggers = [tf.get_logger(), logging.getLogger("absl")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel("ERROR")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException as error:
            hidden.seek(0)
            printed = hidden.read().decode(errors="replace").strip()
            if printed and error.__cause__ is None:
                error.__cause__ = Printed(printed)
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
