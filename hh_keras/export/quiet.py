"""Silence for what TensorFlow's C++ code prints."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides what TensorFlow's C++ code prints; a failure still shows it.

    The converter and the interpreter write straight to file descriptor 2, past
    Python's logging.
    """
    verbosity = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(kept, hidden.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            tf.get_logger().setLevel(verbosity)
