"""The launch scripts as a user starts them; a process each where that is the point."""

import itertools
import json
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import hh_keras as hh
import hh_keras.models
from hh_keras.surgery.plan import Plan
from tests.cli.in_process import run

ROOT = pathlib.Path(__file__).resolve().parents[2]


def launch(script, *flags):
    command = [sys.executable, f"launch/{script}.py", *flags]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300
    )


QUICK = ("--limit=40", "--epochs=1", "--batch_size=20", "--search_batches=1")
FILES = (
    "plan.json",
    "original.keras",
    "lw_dna.keras",
    "original.tflite",
    "lw_dna.tflite",
    "saved_model/original/1/saved_model.pb",
    "saved_model/lw_dna/1/saved_model.pb",
    "history/original.csv",
    "history/lw_dna.jsonl",
    "report.html",
    "results.json",
    "pictures/channels.png",
    "pictures/summary.png",
)


def test_run_leaves_everything_and_is_reused(tmp_path):
    out = tmp_path / "run"
    flags = (*QUICK, "--model=resnet8", "--macs=0.6x", f"--workdir={out}")
    done = launch("run", *flags)
    assert done.returncode == 0, done.stderr
    for name in FILES:
        assert (out / name).stat().st_size > 0, name
    found = json.loads((out / "results.json").read_text())
    small = keras.models.load_model(out / "lw_dna.keras")
    original = keras.models.load_model(out / "original.keras")
    assert found["models"]["lw_dna"]["macs"] == hh.cost(small).macs
    assert hh.cost(small).macs <= 0.6 * hh.cost(original).macs
    assert found["parity"]["float32"]["relative"] < 1e-4
    assert (found["search"]["criterion"], found["search"]["batches"]) == ("balanced", 0)
    assert found["models"]["lw_dna"]["accuracy"] * 40 % 1 < 1e-6
    assert done.stdout.count(" to go)") == 4 and "] Finished" in done.stdout
    assert max(map(len, done.stdout.replace(str(out), "").splitlines())) <= 88
    before = (out / "lw_dna.keras").read_bytes()
    again = run("run", *flags)
    assert again.returncode == 0 and again.stdout.count("reused") == 4
    assert (out / "lw_dna.keras").read_bytes() == before
    scores = [
        start("evaluate", f"--model={out / name}", "--limit=40").stdout
        for start, name in (
            (launch, "lw_dna.keras"),
            (run, "lw_dna.tflite"),
            (run, "saved_model/lw_dna/1"),
        )
    ]
    assert "accuracy" in scores[0] and scores[0] == scores[1] == scores[2]


def test_a_run_that_got_slower_says_where(tmp_path):
    """Counts that leave registers empty, from a plan made by hand."""
    model = hh.models.build("resnet8", (28, 28, 1), 10)
    channel_map = hh.trace(hh.widen(model, 2.0))
    keep = np.zeros(channel_map.size, bool)
    for group in channel_map.groups:
        whole = (
            group.ids.stop if group.frozen else group.ids.start + len(group) // 2 + 1
        )
        keep[group.ids.start : whole] = True
    Plan.of(channel_map, keep).save(tmp_path / "plan.json")
    done = run(
        "run", *QUICK, "--model=resnet8", "--round_to=1",
        f"--plan={tmp_path / 'plan.json'}", f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run/results.json").read_text())
    assert found["layer_times"], found["models"]["lw_dna"]["latency_ms"]
    page = (tmp_path / "run/report.html").read_text()
    assert "Time of layers" in page and "--round_to=auto" in page
    assert "--round_to=auto" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    out = tmp_path / "run"
    flags = (*QUICK, "--model=resnet8", f"--workdir={out}")
    command = [sys.executable, "-u", "launch/run.py", *flags]
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in started.stdout:
        if "3/5" in line:
            started.send_signal(signal.SIGKILL)
    started.wait()
    assert (out / "original.keras").exists() and not (out / "lw_dna.keras").exists()
    done = run("run", *flags)
    assert done.returncode == 0 and done.stdout.count("reused") == 2, done.stderr
    assert all((out / name).exists() for name in FILES)
    assert not list(out.glob(".*"))


def test_export_writes_files_that_agree(tmp_path):
    path = tmp_path / "model.keras"
    hh.models.build("resnet8", (28, 28, 1), 10).save(path)
    out = tmp_path / "out"
    done = run(
        "export", f"--model={path}", f"--workdir={out}", "--limit=20",
        "--formats=saved_model,float32",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "export.json").read_text())
    parity = found["models"]["model"]["files"]
    assert parity["saved_model"]["relative"] < 1e-5
    assert parity["float32"]["relative"] < 1e-4
    assert (out / "model.tflite").exists()
    served = tf.saved_model.load(str(out / "saved_model/model/1"))
    png = tf.io.encode_png(np.zeros((28, 28, 1), "uint8"))[None]
    named = served.signatures["classify_bytes"](image_bytes=png)["classes"]
    assert b"T-shirt/top" in named.numpy() and named.shape == (1, 10)


def test_shrink_leaves_a_plan_and_two_models(tmp_path):
    out = tmp_path / "run"
    done = run(
        "shrink", "--limit=40", "--search_batches=1", "--batch_size=20",
        "--model=resnet8", "--macs=0.6x", f"--workdir={out}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    original = keras.models.load_model(out / "original.keras")
    small = keras.models.load_model(out / "lw_dna.keras")
    assert hh.cost(small).macs <= 0.6 * hh.cost(original).macs
    hh.Plan.load(out / "plan.json")
    flags = ("--model=resnet8", "--limit=40", "--macs=0.5x", f"--workdir={out}")
    other = run("shrink", *flags)
    assert other.returncode != 0 and str(out) in other.stderr
    assert "Traceback" not in other.stderr
    hh.Plan.load(out / "plan.json")


@pytest.mark.parametrize(
    ("script", "flag", "names"),
    [
        ("shrink", "--model=resnet21", "resnet20"),
        ("latency", "--modle=resnet20", "model"),
    ],
)
def test_bad_flags_get_one_message(script, flag, names):
    """More of them: `test_bad_input`."""
    done = launch(script, flag)
    assert done.returncode != 0
    assert names in done.stderr and "Traceback" not in done.stderr


def test_train_writes_a_history(tmp_path):
    flags = ("--model=resnet8", "--limit=40", "--epochs=1")
    done = run("train", *flags, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "run" / "history").glob("*.csv"))
    keras.models.load_model(tmp_path / "run" / "model.keras")


def test_train_on_an_image_folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, name in itertools.product(("train", "val"), ("cat", "dog", "owl")):
        folder = tmp_path / "photos" / part / name
        folder.mkdir(parents=True)
        for k in range(4):
            pixels = rng.integers(0, 256, (30 + k, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{k}.jpg")
    done = run(
        "train", f"--dataset={tmp_path / 'photos'}", "--image_size=32", "--epochs=1",
        "--model=resnet8", "--batch_size=4", f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert model.input_shape == (None, 32, 32, 3) and model.output_shape == (None, 3)
