"""Being asked to stop: a flag that SIGTERM raises."""

import contextlib
import signal
import threading


@contextlib.contextmanager
def termination():
    """Catches SIGTERM in this block.

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
