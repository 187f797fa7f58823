"""The launch scripts as a user starts them."""

import pathlib
import subprocess
import sys

import keras
import pytest

import hh_keras as hh

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(script, *flags):
    command = [sys.executable, f"launch/{script}.py", *flags]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def test_shrink_leaves_a_plan_and_two_models(tmp_path):
    out = tmp_path / "run"
    done = run(
        "shrink", "--limit=40", "--search_batches=1", "--batch_size=20",
        "--macs=0.6x", f"--workdir={out}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    original = keras.models.load_model(out / "original.keras")
    small = keras.models.load_model(out / "lw_dna.keras")
    assert hh.cost(small).macs <= 0.6 * hh.cost(original).macs
    hh.Plan.load(out / "plan.json")
    other = run("shrink", "--limit=40", "--macs=0.5x", f"--workdir={out}")
    assert other.returncode != 0 and str(out) in other.stderr
    assert "Traceback" not in other.stderr
    hh.Plan.load(out / "plan.json")


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        ("--model=resnet21", "resnet20"),
        ("--modle=resnet20", "model"),
        ("--criterion=gradiant", "gradient"),
        ("--macs=much", "macs"),
        ("--dataset=mnits", "mnits"),
    ],
)
def test_bad_flags_get_one_message(flag, names, tmp_path):
    done = run("shrink", flag, "--limit=20", f"--workdir={tmp_path / 'run'}")
    assert done.returncode != 0
    assert names in done.stderr and "Traceback" not in done.stderr


def test_train_writes_a_history(tmp_path):
    done = run("train", "--limit=40", "--epochs=1", f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "run" / "history").glob("*.csv"))
    keras.models.load_model(tmp_path / "run" / "model.keras")
