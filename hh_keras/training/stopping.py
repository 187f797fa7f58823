"""Being asked to stop: a flag that SIGTERM raises."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def termination() -> Iterator[threading.Event]:
    """Catches SIGTERM in this block.

    A block that ends as if nothing had come, say because it was just ending, passes the
    signal on.

    Yields:
        A `threading.Event` that is set once the signal has come. Outside the main
        thread, where Python can catch no signals, it never is.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
    if asked.is_set():
        signal.raise_signal(signal.SIGTERM)
