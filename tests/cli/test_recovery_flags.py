"""Inherited weights through the scripts: the original teaches, nothing gets worse."""

import json

import keras
import numpy as np
import pytest

from hh_keras.cli.commands import run, train
from tests.cli.test_training_flags import MODEL, QUICK, history

INHERIT = ("--weights=inherit", "--width_mult=1", "--macs=0.8x")


def config(out):
    return json.loads((out / "run.json").read_text())["config"]


def test_the_original_teaches_what_was_made_of_it(tmp_path, capsys):
    out = tmp_path / "run"
    assert run.entry([*QUICK, *INHERIT, f"--workdir={out}"]) == 0
    found = config(out)
    assert (found["distill"], found["optimizer"]) == ("match", "adam")
    assert found["frozen_statistics"] and found["learning_rate"] < 0.01
    models = [
        keras.models.load_model(out / f"{folder}original.keras")
        for folder in ("initial/", "")
    ]
    for before, after in zip(*(model.get_weights() for model in models)):
        np.testing.assert_array_equal(before, after)
    assert [row["epoch"] for row in history(out, "lw_dna")] == [1, 2]
    assert (out / "report.html").exists()
    assert run.entry([*QUICK, *INHERIT, f"--workdir={out}"]) == 0
    assert capsys.readouterr().out.count("reused") == 4


def test_none_turns_it_off_and_flags_win(tmp_path):
    out = tmp_path / "run"
    flags = (*QUICK, *INHERIT, "--stage=lw_dna", f"--workdir={out}")
    assert run.entry([*flags, "--distill=none"]) == 0
    assert config(out)["learning_rate"] == 0.1
    out = tmp_path / "own"
    flags = (*flags[:-1], f"--workdir={out}", "--learning_rate=0.003", "--epochs=1")
    assert run.entry([*flags, "--optimizer=sgd"]) == 0
    assert (config(out)["learning_rate"], config(out)["optimizer"]) == (0.003, "sgd")


def test_training_within_a_time(tmp_path):
    teacher, out = tmp_path / "teacher", tmp_path / "out"
    assert train.entry([*QUICK, f"--workdir={teacher}"]) == 0
    flags = (f"--model={teacher}/model.keras", "--limit=60", "--batch_size=12")
    timed = (*flags, "--recover=4s", f"--teacher={teacher}/model.keras")
    assert train.entry([*timed, f"--workdir={out}"]) == 0
    assert config(out)["recover"] == pytest.approx(4 / 60)
    rates = [row["learning_rate"] for row in history(out)]
    assert len(rates) == 1 or rates[-1] < max(rates)


def test_times_that_are_none(tmp_path, capsys):
    for text in ("0m", "soon", "10d"):
        flags = [MODEL, f"--recover={text}", f"--workdir={tmp_path / 'no'}"]
        assert train.entry(flags) == 2
        assert "10m" in capsys.readouterr().err
