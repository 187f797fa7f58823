"""The client, as a user starts it, against a server that runs real SavedModels."""

import contextlib
import importlib.util
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.deploy import serving
from tests.deploy.serving import assert_same, client
from tests.export import pictures

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_serving") is None,
    reason="tensorflow-serving-api is not installed",
)
SCHEMES = ("http", "grpc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def certificates(folder):
    """ca.pem, and server and client pairs signed by it."""
    if shutil.which("openssl") is None:
        return None
    place = folder / "tls"
    place.mkdir()
    names = place / "names"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")

    def openssl(*arguments):
        command = ["openssl", *map(str, arguments)]
        subprocess.run(command, cwd=place, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for kind in ("ca", "stranger"):
        openssl("req", "-x509", *new, "-days", 2, "-subj", f"/CN=test {kind}",
                "-keyout", f"{kind}.key", "-out", f"{kind}.pem")  # fmt: skip
    for kind in ("server", "client"):
        openssl("req", *new, "-subj", f"/CN={kind}", "-keyout", f"{kind}.key",
                "-out", f"{kind}.csr")  # fmt: skip
        openssl("x509", "-req", "-in", f"{kind}.csr", "-out", f"{kind}.pem", "-days", 2,
                "-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", names)  # fmt: skip
    return place


@pytest.fixture(scope="module")
def versions(folder):
    return serving.export_versions(folder / "models")


@pytest.fixture(scope="module")
def server(folder, versions, certificates):
    """Address by scheme."""
    config = folder / "models.config"
    config.write_text(serving.config_text(folder / "models" / "clothes"))
    flags = [f"--tls={certificates}"] if certificates else []
    with serving.serving(config, *flags) as (_, ports):
        yield {scheme: f"{scheme}://localhost:{port}" for scheme, port in ports.items()}


@pytest.fixture(scope="module")
def images(folder):
    """A folder of good and bad files, two levels deep, and one that is no image."""
    place = folder / "images"
    (place / "more").mkdir(parents=True)
    for name, content in pictures.good().items():
        (place / name).write_bytes(content)
    for name, (content, _) in pictures.bad().items():
        (place / "more" / name).write_bytes(content)
    (place / "notes.txt").write_text("left out")
    return place


def contents(images):
    """Path to bytes, in the client's order."""
    files = [p for p in images.rglob("*") if p.suffix not in ("", ".txt")]
    return {p: p.read_bytes() for p in sorted(files, key=lambda p: (p.parent, p.name))}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("flags, version", [((), 2), (("--label=stable",), 1),
                                            (("--version=1",), 1)])  # fmt: skip
def test_a_folder_is_answered_line_by_line(
    scheme, flags, version, server, images, versions, tmp_path
):
    status, lines, told = client(
        f"--server={server[scheme]}", "--model=clothes", "--batch=5", "--parallel=3",
        f"--summary={tmp_path / 'numbers.json'}", *flags, images,
    )  # fmt: skip
    files = contents(images)
    wanted = serving.expected(versions[version - 1], files.values())
    assert status == 1 and len(lines) == len(files) == 24
    for line, each, path in zip(lines, wanted, files, strict=True):
        assert_same(line, each, path)
    assert "1 files without an image's extension left out" in told
    assert "13 answered, 11 unreadable, 0 refused, 0 failed" in told and "p99" in told
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["requests"] == 5 and numbers["repeated"] == 0
    assert 0 < numbers["latency_ms"]["p50"] <= numbers["latency_ms"]["max"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_image_from_a_file_and_from_stdin(scheme, server, images):
    path = images / "rgb.png"
    command = (f"--server={server[scheme]}", "--model=clothes", "--top=2")
    status, (line,), told = client(*command, path)
    assert status == 0 and line["image"] == str(path) and len(line["classes"]) == 2
    status, (piped,), _ = client(*command, "-", input=path.read_bytes())
    assert status == 0 and piped == {**line, "image": "-"}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "flags, text",
    [
        (("--model=shoes",), "no model shoes "),
        (("--model=clothes", "--version=9"), "no model clothes version 9 "),
        (("--model=clothes", "--label=old"), "no model clothes label old "),
        (("--model=clothes", "--signature=draw"), "signature draw"),
    ],
)
def test_what_the_server_lacks_is_named(scheme, flags, text, server, images):
    status, lines, told = client(f"--server={server[scheme]}", *flags, images)
    assert status == 4 and "\nerror: " in told and text in told
    assert len(lines) == 24 and all(text in line["error"] for line in lines)
    assert told.count("\n") == 3  # the error, what was left out, the numbers


@pytest.mark.parametrize("scheme", SCHEMES)
def test_status_of_versions(scheme, server):
    command = (f"--server={server[scheme]}", "--status")
    status, (line,), _ = client(*command, "--model=clothes")
    assert status == 0
    states = {each["version"]: each["state"] for each in line["versions"]}
    assert states == {1: "AVAILABLE", 2: "AVAILABLE"}
    status, lines, told = client(*command, "--model=shoes")
    assert (status, lines) == (4, []) and "no model shoes" in told


def test_a_file_that_cannot_be_read_costs_only_itself(server, images, tmp_path):
    gone, good = tmp_path / "gone.jpg", images / "rgb.png"
    command = (f"--server={server['http']}", "--model=clothes", "--batch=4")
    status, lines, _ = client(*command, good, gone, good)
    assert status == 1 and "No such file" in lines[1]["error"]
    assert lines[0] == lines[2] and lines[0]["classes"]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_server_that_is_down(scheme, images):
    address = f"{scheme}://localhost:{free_port()}"
    status, lines, told = client(
        f"--server={address}", "--model=clothes", "--retry-for=0.5", images
    )
    assert status == 3 and f"\nerror: no connection to {address}" in told
    assert len(lines) == 24 and not any("classes" in line for line in lines)
    assert lines[-1]["error"].startswith("not sent: ")


@pytest.mark.parametrize(
    "flags, text",
    [
        (("--server=localhost:8501",), "no server"),
        (("--server=ftp://localhost",), "no server"),
        (("--batch=0",), "'0' is no whole number"),
        (("--timeout=soon",), "no number of seconds"),
        (("--version=1", "--label=a"), "not allowed with"),
        (("--ca=ca.pem",), "https://"),
        (("--server=https://localhost", "--cert=c.pem"), "belong together"),
        (("--server=https://localhost", "--ca=/nowhere.pem"), "/nowhere.pem"),
        (("--server=grpcs://localhost", "--ca=/nowhere.pem"), "/nowhere.pem"),
        (("--modle=x",), "--modle=x"),
    ],
)
def test_wrong_usage_is_one_line(flags, text, images):
    status, lines, told = client("--model=clothes", *flags, images)
    assert (status, lines) == (2, []) and text in told
    assert told.startswith("error: ") and told.count("\n") == 1
    status, _, told = client("--model=clothes")
    assert status == 2 and "no images" in told


@pytest.mark.parametrize("scheme", ("https", "grpcs"))
def test_tls_both_ways(scheme, server, certificates, images):
    if certificates is None:
        pytest.skip("openssl is needed to make certificates")
    own = f"--cert={certificates}/client.pem", f"--key={certificates}/client.key"
    command = (f"--server={server[scheme]}", "--model=clothes", "--retry-for=1")
    trusted, path = f"--ca={certificates}/ca.pem", images / "rgb.png"
    status, (line,), _ = client(*command, trusted, *own, path)
    assert status == 0 and line["classes"]
    strange = f"--ca={certificates}/stranger.pem"
    for flags in ((strange, *own), (trusted,)):  # who is it; who am I
        status, (line,), told = client(*command, *flags, path)
        assert status == 3 and "error" in line, told


@contextlib.contextmanager
def scripted(*answers):
    """A server that answers so, one after the other; yields its address and bodies."""
    bodies, answers = [], list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bodies.append(body["instances"])
            answer = answers.pop(0) if answers else right
            code, found, *headers = answer(body) if callable(answer) else answer
            content = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(code)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"--server=http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def right(body):
    rows = [{"classes": ["a"], "probabilities": [1.0]} for _ in body["instances"]]
    return 200, {"predictions": rows}


def strict(body):
    """Fails the whole batch for one bad image, as other models' signatures do."""
    if any(each["image_bytes"]["b64"] == "YmFk" for each in body["instances"]):
        return 400, {"error": "Unknown image file format."}
    return right(body)


@pytest.fixture
def four(tmp_path):
    for name in ("1.jpg", "2.jpg", "3.jpg", "4.jpg"):
        (tmp_path / name).write_bytes(b"bad" if name == "3.jpg" else b"good")
    return tmp_path


def test_busy_servers_are_asked_again(four):
    busy = (503, {"error": "queue is full"})
    later = (429, {"error": "slow down"}, ("Retry-After", "1"))
    with scripted(busy, later, busy) as (address, bodies):
        status, lines, told = client(address, "--model=m", four)
    assert status == 0 and len(lines) == 4 and len(bodies) == 4
    assert "3 repeated" in told and "max" in told


def test_a_refused_batch_is_taken_apart(four):
    with scripted(*[strict] * 7) as (address, bodies):
        status, lines, told = client(address, "--model=m", four)
    assert status == 1 and [len(each) for each in bodies] == [4, 2, 2, 1, 1]
    assert "3 answered, 0 unreadable, 1 refused, 0 failed" in told
    assert ["classes" in line for line in lines] == [True, True, False, True]
    assert "Unknown image file format" in lines[2]["error"]


@pytest.mark.parametrize(
    "answer, status, text",
    [
        ((500, {"error": "out of memory"}), 6, "out of memory"),
        ((500, b"<html>"), 6, "Internal Server Error"),
        ((200, b"<html>"), 6, "not JSON"),
        ((200, {"predictions": []}), 6, "0 answers for 4 images"),
        ((200, {"outputs": []}), 6, "no predictions"),
        ((504, {"error": "deadline"}), 5, "deadline"),
        ((401, b""), 6, "Unauthorized"),
    ],
)
def test_odd_answers_are_errors_and_asked_once(answer, status, text, four):
    with scripted(answer) as (address, bodies):
        found, lines, told = client(address, "--model=m", four)
    assert found == status and len(lines) == 4 and len(bodies) == 1
    assert all(text in line["error"] for line in lines) and "Traceback" not in told


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_server_that_never_answers(scheme, four):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"--server={scheme}://127.0.0.1:{silent.getsockname()[1]}"
        status, lines, _ = client(
            address, "--model=m", "--timeout=1", "--retry-for=0", four / "1.jpg"
        )
    assert status == 5 and "within 1 s" in lines[0]["error"]


def test_names_of_any_bytes(four):
    name = os.fsencode(four) + b"/caf\xe9.jpg"
    pathlib.Path(os.fsdecode(name)).write_bytes(b"good")
    with scripted() as (address, _):
        status, lines, _ = client(address, "--model=m", four)
    assert status == 0 and os.fsencode(lines[-1]["image"]) == name


def test_rest_needs_the_standard_library_only(four):
    with scripted() as (address, _):
        done = subprocess.run(
            [sys.executable, "-I", "-S", serving.CLIENT, address, "--model=m", four],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )
    assert done.returncode == 0 and done.stdout.count("\n") == 4, done.stderr
