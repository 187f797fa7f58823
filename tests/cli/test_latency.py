"""Searches that keep to milliseconds, and the tables they go by."""

import json

import keras
import pytest

from hh_keras.latency import LatencyTable
from tests.cli.in_process import run

L = keras.layers
SMALL = ("--model=tests.cli.test_latency:network", "--image_size=28", "--width_mult=1")


def network(image_shape, num_classes):
    """Two kernels, of which the second takes nearly all the time."""
    inputs = keras.Input(image_shape)
    x = L.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    x = L.Conv2D(32, 3, padding="same", activation="relu")(x)
    return keras.Model(inputs, L.Dense(num_classes)(L.GlobalAveragePooling2D()(x)))


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
    for flags, said in (
        ((*search, "--width_mult=4"), "--width_mult, --classes"),
        ((*search, "--latency_quantize=int8"), "was measured with float32"),
        ((*search, "--latency_threads=2"), "was measured with 1;"),
        ((*search, "--latency=none", "--macs=0.5x"), "--latency_table is for"),
    ):
        done = run("shrink", *flags, f"--workdir={tmp_path / 'other'}")
        assert done.returncode == 2 and said in done.stderr
        assert done.stderr.count("\n") == 1
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
