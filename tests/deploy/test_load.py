"""A thousand requests, eight at a time, while the server is killed and comes back."""

import importlib.util
import json
import random
import subprocess
import sys
import threading

import pytest

from tests.deploy import serving
from tests.export import pictures

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_serving") is None,
    reason="tensorflow-serving-api is not installed",
)
EACH = 500  # images per client, one per request
AT_ONCE = 4  # requests per client


def photos(place):
    """A thousand files, every seventh of them malformed, each good one different."""
    place.mkdir()
    draw = random.Random(0)
    bad = [content for content, _ in pictures.bad().values()]
    files = {}
    for number in range(2 * EACH):
        picture = pictures.photo(20 + number % 13, 24, seed=number)
        kind = draw.choice(("JPEG", "PNG"))
        files[place / f"{number:04}.{kind.lower()}"] = (
            draw.choice(bad)
            if number % 7 == 3
            else pictures.encoded(pictures.Image.fromarray(picture), kind)
        )
    for path, content in files.items():
        path.write_bytes(content)
    return files


def started(scheme, port, files):
    """A client, and a thread that reads what it prints."""
    command = [
        sys.executable, serving.CLIENT, f"--server={scheme}://127.0.0.1:{port}",
        "--model=clothes", "--label=stable", "--batch=1", f"--parallel={AT_ONCE}",
        "--retry-for=150", *files,
    ]  # fmt: skip
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    lines = []
    thread = threading.Thread(target=lambda: lines.extend(process.stdout))
    thread.start()
    return process, lines, thread


@pytest.mark.slow
def test_no_answer_is_wrong_and_none_is_lost(tmp_path):
    versions = serving.export_versions(tmp_path / "models")
    config = tmp_path / "models.config"
    config.write_text(serving.config_text(tmp_path / "models" / "clothes"))
    files = photos(tmp_path / "photos")
    wanted = serving.expected(versions[0], files.values())
    other = serving.expected(versions[1], files.values())
    assert sum(a != b for a, b in zip(wanted, other)) > 800  # a swap would show

    paths = list(files)
    shares = {"http": paths[:EACH], "grpc": paths[EACH:]}
    server = serving.start(config)
    try:
        ports = serving.ports(server)
        clients = {
            scheme: started(scheme, ports[scheme], share)
            for scheme, share in shares.items()
        }
        for _, lines, thread in clients.values():
            while len(lines) < EACH // 5 and thread.is_alive():
                thread.join(0.01)
        server.kill()
        server.wait()
        answered = {scheme: len(lines) for scheme, (_, lines, _) in clients.items()}
        server = serving.start(
            config, f"--port={ports['grpc']}", f"--rest_api_port={ports['http']}"
        )
        assert serving.ports(server) == ports
        for scheme, (process, lines, thread) in clients.items():
            thread.join(200)
            told = process.stderr.read().decode()
            assert process.wait(10) == 1, told  # some images were malformed
            assert answered[scheme] < EACH == len(lines), told
            assert "0 failed" in told and " 0 repeated" not in told
            first = 0 if scheme == "http" else EACH
            for line, each, path in zip(
                lines, wanted[first:], shares[scheme], strict=False
            ):
                serving.assert_same(json.loads(line), each, path)
    finally:
        server.kill()
        for process, _, thread in clients.values():
            process.kill()
            thread.join()


@pytest.mark.slow
def test_a_server_that_stays_down_leaves_no_image_unreported(tmp_path):
    """Killed while it is asked: every image has an answer, or an error."""
    versions = serving.export_versions(tmp_path / "models", 1)
    config = tmp_path / "models.config"
    config.write_text(serving.config_text(tmp_path / "models" / "clothes", canary=1))
    files = photos(tmp_path / "photos")
    wanted = serving.expected(versions[0], files.values())
    command = [
        sys.executable, serving.CLIENT, "--model=clothes", "--batch=1",
        "--parallel=8", "--retry-for=1", *map(str, files),
    ]  # fmt: skip
    with serving.serving(config) as (server, ports):
        command.insert(2, f"--server=http://127.0.0.1:{ports['http']}")
        client = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        lines = [client.stdout.readline() for _ in range(200)]
        server.kill()
        lines += client.stdout.readlines()
    assert client.wait() == 3 and len(lines) == len(files)
    told = client.stderr.read().decode()
    assert told.startswith("error: no connection to http://127.0.0.1")
    answered = 0
    for line, each, path in zip(map(json.loads, lines), wanted, files, strict=True):
        if "no connection" in line.get("error", ""):
            assert line["image"] == str(path)
        else:
            serving.assert_same(line, each, path)
            answered += 1
    assert 200 <= answered < len(files)
