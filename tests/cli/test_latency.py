"""Searches that keep to milliseconds, and the tables they go by."""

import json
import pathlib
import subprocess
import sys

import pytest

from hh_keras.latency import LatencyTable

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(script, *flags):
    command = [sys.executable, f"launch/{script}.py", *flags]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300
    )


SMALL = ("--model=resnet20", "--image_size=28", "--width_mult=1")


@pytest.mark.slow
def test_a_table_made_elsewhere_is_kept_to(tmp_path):
    path = tmp_path / "table.json"
    made = run("latency", *SMALL, "--channels=1", "--rounds=3", f"--output={path}")
    assert made.returncode == 0, made.stderr
    assert "steps of" in made.stdout and " ms. Written" in made.stdout
    table = LatencyTable.load(path)
    data = json.loads(path.read_text())
    data["device"] = {"machine": "another"}
    path.write_text(json.dumps(data))
    search = (
        *SMALL, "--criterion=weight_norm", "--limit=40", "--macs=none",
        "--params=none", "--latency=0.6x", f"--latency_table={path}",
    )  # fmt: skip
    done = run("shrink", *search, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "limit" in done.stdout and "measured" not in done.stdout
    notes = json.loads((tmp_path / "run" / "plan.json").read_text())["notes"]
    assert 0 < notes["latency_ms"] <= notes["budget"][2]
    other = run("latency", *SMALL, f"--output={path}")
    assert other.returncode == 2 and "another device" in other.stderr
    assert table.grids


def test_wrong_limits_and_tables_get_one_message(tmp_path):
    (tmp_path / "t.json").write_text("{}")
    flags = ("--limit=20", f"--workdir={tmp_path / 'run'}", "--search_batches=1")
    for wrong, named in (
        (("--latency=fast",), "milliseconds"),
        (("--latency=0.5x", f"--latency_table={tmp_path / 't.json'}"), "t.json"),
    ):
        done = run("shrink", *flags, *wrong)
        assert done.returncode == 2 and named in done.stderr
        assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1
