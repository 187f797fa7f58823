"""Files and folders appear whole or not at all."""

import shutil

import pytest

from hh_keras import files
from hh_keras.errors import WorkdirError


def test_text_and_bytes_are_replaced(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    files.write(path, "one")
    files.write(path, "zwölf")
    assert path.read_text("utf-8") == "zwölf"
    files.write(path, b"12")
    assert path.read_bytes() == b"12"
    assert list(path.parent.iterdir()) == [path]


def test_folders_are_replaced(tmp_path):
    for name in ("one", "two"):
        files.replace(tmp_path / "folder", lambda new, name=name: _folder(new, name))
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["two"]
    assert len(list(tmp_path.iterdir())) == 1


def _folder(path, name):
    path.mkdir()
    (path / name).write_text("here")


def test_added_folders_leave_what_is_there(tmp_path):
    paths = [tmp_path / name for name in ("1", "2", "3")]
    _folder(paths[0], "mine")
    paths[1].write_text("a file")
    assert files.add(paths, lambda new: _folder(new, "new")) == paths[2]
    assert [p.name for p in paths[0].iterdir()] == ["mine"]
    assert [p.name for p in paths[2].iterdir()] == ["new"]
    assert set(tmp_path.iterdir()) == set(paths)


def test_a_failure_leaves_the_old_content(tmp_path):
    path = tmp_path / "a"
    files.write(path, "precious")

    def fail(new):
        new.write_text("half")
        raise ValueError("fell over")

    with pytest.raises(ValueError, match="fell over"):
        files.replace(path, fail)
    assert path.read_text() == "precious" and list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_is_swept_away(tmp_path):
    files.write(tmp_path / "deep" / "a", "precious")
    left = []

    def die(new):
        new.write_text("half")
        shutil.copytree(new.parent, new.parent.with_name(new.parent.name + "_"))
        left.append(new.parent.name + "_")

    files.replace(tmp_path / "deep" / "b", die)
    assert (tmp_path / "deep" / left[0]).is_dir()
    files.sweep(tmp_path)
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"a", "b"}


def test_what_the_file_system_refuses_names_the_file(tmp_path):
    files.write(tmp_path / "a", "a file")
    with pytest.raises(WorkdirError, match="b.txt"):
        files.write(tmp_path / "a" / "b.txt", "below a file")
