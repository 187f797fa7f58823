"""Headless Chromium, driven through two pipes: nothing to install but the browser."""

import base64
import contextlib
import functools
import http.server
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import threading
import time

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WEB = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "tflite" / "web"


def program():
    """The browser's path, None where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


NEEDED = [
    pytest.mark.slow,
    pytest.mark.skipif(
        program() is None, reason="no browser: apt-get install chromium"
    ),
    pytest.mark.skipif(
        not (WEB / "node_modules" / "@litertjs" / "core").is_dir(),
        reason="no LiteRT for the browser: npm install in deploy/tflite/web",
    ),
]
"""Marks of tests in a browser."""


def site_in(folder, models=True):
    """The pages with their modules, and a folder of models."""
    folder.mkdir()
    for path in WEB.iterdir():
        if path.suffix in (".html", ".css", ".js"):
            shutil.copy(path, folder)
    (folder / "node_modules").symlink_to(WEB / "node_modules")
    if models:
        (folder / "models").mkdir()
    return folder


@contextlib.contextmanager
def served(folder):
    """Serves a folder as `python -m http.server` does; yields its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def opened(address, profile, *flags):
    """Opens a page in a new browser; yields a `call(method, **params)` of its protocol.

    Args:
        address: of the page.
        profile: an empty folder for the browser's own files.
        *flags: further flags of Chromium.
    """
    command = [
        program(), "--headless=new", "--no-sandbox", "--disable-gpu",
        "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
        f"--user-data-dir={profile}", "--remote-debugging-pipe", *flags, "about:blank",
    ]  # fmt: skip
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    # Chromium reads commands from descriptor 3 and answers on 4.
    shell = f'exec "$@" 3<&{to_read} 4>&{from_write}'
    process = subprocess.Popen(
        ["bash", "-c", shell, "bash", *command],
        pass_fds=(to_read, from_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(from_write)
    with os.fdopen(from_read, "rb") as answers, os.fdopen(to_write, "wb") as commands:
        call = _calls(answers, commands)
        try:
            target = call("Target.createTarget", url=address)["targetId"]
            session = call("Target.attachToTarget", targetId=target, flatten=True)
            yield _loaded(functools.partial(call, session["sessionId"]), address)
        finally:
            process.kill()
            process.wait()


def _loaded(call, address):
    """Waits until the new page has taken the place of the empty one."""
    while True:
        frame = call("Page.getFrameTree")["frameTree"]["frame"]
        if frame["url"] == address:
            with contextlib.suppress(RuntimeError):  # the empty page was asked
                wait_for(call, "document.readyState == 'complete'")
                return call
        time.sleep(0.05)


def _calls(answers, commands):
    numbers = itertools.count(1)
    rest = bytearray()

    def receive():
        while b"\0" not in rest:
            part = answers.read1(2**16)
            if not part:
                raise RuntimeError("the browser is gone")
            rest.extend(part)
        text, _, after = bytes(rest).partition(b"\0")
        rest[:] = after
        return json.loads(text)

    def call(*session_and_method, **params):
        *session, method = session_and_method
        number = next(numbers)
        command = {"id": number, "method": method, "params": params}
        if session:
            command["sessionId"] = session[0]
        commands.write(json.dumps(command).encode() + b"\0")
        commands.flush()
        while (answer := receive()).get("id") != number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    return call


def evaluate(call, script):
    """The value of a JavaScript expression, awaited if it is a promise."""
    answer = call(
        "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
    )
    if "exceptionDetails" in answer:
        raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
    return answer["result"].get("value")


def wait_for(call, condition, seconds=60):
    """Waits until a JavaScript expression is true; returns its value.

    Raises:
        TimeoutError: it is not, with what the page says instead.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = evaluate(call, condition)
        if value:
            return value
        time.sleep(0.05)
    text = evaluate(call, "document.body.innerText")
    raise TimeoutError(f"{condition} does not come true; the page says: {text}")


def problem(call):
    """What a page says that is wrong."""
    shown = "!document.querySelector('#problem').hidden"
    return wait_for(call, f"{shown} && document.querySelector('#problem').textContent")


def choose(call, field, *paths):
    """Puts files into the file field with an id."""
    root = call("DOM.getDocument")["root"]["nodeId"]
    node = call("DOM.querySelector", nodeId=root, selector=f"#{field}")["nodeId"]
    call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])


def screenshot(call, path, width, height, scheme="light"):
    """Writes the whole page as a PNG file, in a window of that size."""
    call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
    )  # fmt: skip
    call(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": scheme}],
    )
    data = call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
    path.write_bytes(base64.b64decode(data))
