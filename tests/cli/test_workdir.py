"""What a work directory remembers of its files, and what a command is ended by."""

import os
import signal

import pytest

from hh_keras.cli import program, workdir
from hh_keras.errors import WorkdirError
from hh_keras.flag import Flag, Text


@pytest.fixture
def finished(tmp_path):
    """A run with a stage that left a file and a folder."""
    run = workdir.open_run(tmp_path, {"seed": 0})
    (tmp_path / "plan.json").write_text('{"keep": [1, 2, 3]}')
    (tmp_path / "saved/1").mkdir(parents=True)
    (tmp_path / "saved/1/graph.pb").write_bytes(b"graph")
    (tmp_path / "saved/1/values").write_bytes(bytes(3_000_000))
    workdir.finish(run, "search", 0.0, ("plan.json", "saved/1"))
    return run


def again(run):
    return workdir.is_finished(run, "search", ("plan.json", "saved/1"))


def test_a_stage_is_finished_while_its_files_are_what_it_left(finished):
    assert again(finished)
    assert not workdir.is_finished(finished, "training", ())
    (finished.path / "plan.json").unlink()
    assert not again(finished)


@pytest.mark.parametrize("name", ["plan.json", "saved/1/values"])
def test_a_file_cut_in_half_is_named(finished, name):
    path = finished.path / name
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(WorkdirError, match=f"{name.split('/values')[0]} is not what"):
        again(finished)


def test_a_folder_with_its_files_renamed_is_another(finished):
    folder = finished.path / "saved/1"
    (folder / "graph.pb").rename(folder / "other.pb")
    with pytest.raises(WorkdirError, match="saved/1 is not what"):
        again(finished)


def test_runs_of_before_are_known_by_their_files_alone(finished):
    del finished.stages["search"]["files"]
    os.truncate(finished.path / "plan.json", 1)
    assert again(finished)


def test_sigterm_ends_a_command_with_a_word(capsys):
    before = signal.getsignal(signal.SIGTERM)

    def main(args):
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("it went on")

    flag = Flag("name", Text("TEXT"), None, "A name.")
    assert program.make("Does nothing.", {"Flags": (flag,)}, main)([]) == 143
    assert capsys.readouterr().err == "terminated; what was finished is kept.\n"
    assert signal.getsignal(signal.SIGTERM) is before
