"""Flags of the trainings, through the scripts."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from hh_keras.cli.commands import run, shrink, train
from tests.cli.test_scripts import ROOT
from tests.training.test_workers import free_ports

MODEL = "--model=tests.cli.test_bad_input:classifier"
QUICK = (MODEL, "--limit=60", "--batch_size=12", "--epochs=2")
EVERYTHING = (
    "--nesterov", "--clip_norm=1", "--ema=0.5", "--precision=mixed_bfloat16",
    "--patience=5", "--lr_batch_size=24", "--nodecay_vectors", "--rand_augment=1",
    "--mixup=0.2", "--cutmix=1", "--augment=crop_flip", "--on_nan=rollback",
    "--steps_per_execution=2", "--tensorboard", "--memory_mb=1", "--jit_compile=no",
)  # fmt: skip


def history(out, name="model"):
    lines = (out / f"history/{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_all_settings_at_once(tmp_path):
    out = tmp_path / "run"
    assert train.entry([*QUICK, *EVERYTHING, f"--workdir={out}"]) == 0
    assert [row["epoch"] for row in history(out)] == [1, 2]
    assert history(out)[0]["learning_rate"] == pytest.approx(0.025)  # warming up
    assert sorted(path.name for path in (out / "epoch_models").iterdir()) == [
        "model_best.keras", "model_last.keras"
    ]  # fmt: skip
    assert list((out / "tensorboard/model").iterdir())
    config = json.loads((out / "run.json").read_text())["config"]
    assert config["ema"] == 0.5 and config["precision"] == "mixed_bfloat16"


def test_how_it_is_carried_out_does_not_make_another_run(tmp_path, capsys):
    out = tmp_path / "run"
    assert train.entry([*QUICK, "--epochs=1", f"--workdir={out}"]) == 0
    others = ("--checkpoint_steps=3", "--on_nan=rollback", "--noepoch_models")
    assert train.entry([*QUICK, "--epochs=1", *others, f"--workdir={out}"]) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert train.entry([*QUICK, "--ema=0.5", f"--workdir={out}"]) == 2


def test_a_teacher(tmp_path, capsys):
    out = tmp_path / "teacher"
    assert train.entry([*QUICK, f"--workdir={out}"]) == 0
    flags = (*QUICK, f"--teacher={out / 'model.keras'}")
    assert train.entry([*flags, f"--workdir={tmp_path / 'kd'}"]) == 0
    sp = (*flags, "--distill=sp", "--distill_layers=conv")
    assert train.entry([*sp, f"--workdir={tmp_path / 'sp'}"]) == 0
    losses = {history(tmp_path / n)[0]["loss"] for n in ("teacher", "kd", "sp")}
    assert len(losses) == 3
    wrong = (*flags, "--distill=sp", "--distill_layers=conf")
    assert train.entry([*wrong, f"--workdir={tmp_path / 'no'}"]) == 2
    assert "no layer 'conf'" in capsys.readouterr().err
    assert train.entry([*QUICK, "--distill=kd", f"--workdir={tmp_path / 'no'}"]) == 2
    assert "--teacher" in capsys.readouterr().err


def test_stages_and_sparse_search(tmp_path, capsys):
    """Each stage alone; the search with trained scales."""
    out = tmp_path / "run"
    flags = (
        *QUICK, "--criterion=magnitude", "--search_epochs=2", "--macs=0.8x",
        "--tensorboard", f"--workdir={out}",
    )  # fmt: skip
    assert run.entry([*flags, "--stage=search"]) == 0
    rows = history(out, "search")
    assert rows[-1]["macs"] < rows[0]["macs"] or rows[0]["zeros"] > 0
    assert list((out / "tensorboard/search").iterdir())
    assert (out / "plan.json").exists() and not list((out / "checkpoints").iterdir())
    assert not (out / "original.keras").exists()
    assert run.entry([*flags, "--stage=wide"]) == 0
    wide = keras.models.load_model(out / "wide.keras")
    original = keras.models.load_model(out / "initial/original.keras")
    assert wide.count_params() > 1.5 * original.count_params()
    assert run.entry([*flags, "--stage=lw_dna"]) == 0
    assert not (out / "original.keras").exists()
    capsys.readouterr()
    assert run.entry(flags) == 0
    assert capsys.readouterr().out.count("reused") == 2
    assert (out / "report.html").exists() and len(history(out, "wide")) == 2


def test_a_sparse_search_goes_on_where_it_stopped(tmp_path, monkeypatch):
    flags = (
        *QUICK, "--criterion=magnitude", "--search_epochs=3", "--macs=0.9x",
        "--sparsity=0.001",
    )  # fmt: skip
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert shrink.entry([*flags, f"--workdir={whole}"]) == 0
    from hh_keras.training import keeper

    write = keeper.write_history

    def interrupt(rows, *args):
        write(rows, *args)
        if len(rows) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(keeper, "write_history", interrupt)
    assert shrink.entry([*flags, f"--workdir={cut}"]) == 130
    monkeypatch.undo()
    assert shrink.entry([*flags, f"--workdir={cut}"]) == 0
    plans = [json.loads((out / "plan.json").read_text()) for out in (whole, cut)]
    assert plans[0] == plans[1]


def test_a_damaged_image_is_named_and_training_goes_on(photos, tmp_path, capsys):
    path = photos / "train" / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:60])
    flags = (
        f"--dataset={photos}", MODEL, '--model_args={"classes": 2}', "--macs=0.9x",
        "--epochs=1", "--batch_size=4",
    )  # fmt: skip
    out = tmp_path / "run"
    for memory in (512, 0):
        command = [*flags, f"--memory_mb={memory}", f"--workdir={out}{memory}"]
        assert run.entry(command) == 0
        assert f"{path} is left out" in capsys.readouterr().err
        found = json.loads((tmp_path / f"run{memory}/results.json").read_text())
        assert list(found["skipped"]) == [str(path)]
        assert str(path) in (tmp_path / f"run{memory}/report.html").read_text()


def weights(out):
    return keras.models.load_model(out / "model.keras").get_weights()


def launch(out, *flags, **environment):
    command = [sys.executable, "launch/train.py", *QUICK, *flags, f"--workdir={out}"]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_devices_and_two_workers_train_as_one(tmp_path):
    ports = free_ports(2)
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    tasks = [
        {"cluster": cluster, "task": {"type": "worker", "index": k}} for k in (0, 1)
    ]
    started = [
        launch(tmp_path / "many", "--strategy=multiworker", TF_CONFIG=json.dumps(task))
        for task in tasks
    ]
    printed = [process.communicate(timeout=280) for process in started]
    for process, (_, errors) in zip(started, printed):
        assert process.returncode == 0, errors
    assert "accuracy" in printed[0][0] and "accuracy" not in printed[1][0]
    for name, flags in (
        ("one", ["--strategy=default"]),
        ("two", ["--strategy=mirrored", "--devices=2"]),
    ):
        assert train.entry([*QUICK, *flags, f"--workdir={tmp_path / name}"]) == 0
    for other in ("two", "many"):
        pairs = zip(weights(tmp_path / "one"), weights(tmp_path / other), strict=True)
        for mine, its in pairs:
            np.testing.assert_allclose(mine, its, atol=1e-4)
