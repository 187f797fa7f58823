"""Installed commands speak of themselves, scripts of scripts."""

import pytest

from hh_keras.cli.commands import export, run


@pytest.mark.parametrize(
    "started, named",
    [("bin/hh-keras-run", "hh-keras-run"), ("launch/run.py", "run.py")],
)
def test_help_shows_the_command_as_it_was_started(started, named, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [started, "--help"])
    assert run.entry() == 0
    text = capsys.readouterr().out
    assert f"{named} --model=mobilenetv2_small" in text
    assert ("launch/" in text) == (named == "run.py")


def test_errors_name_installed_commands(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["/opt/bin/hh-keras-export"])
    assert export.entry() == 2
    assert "a hh-keras-run, or --model" in capsys.readouterr().err


def test_a_count_that_looks_like_a_share_is_asked_about(capsys):
    assert run.entry(["--macs=0.8"]) == 2
    assert "did you mean 0.8x" in capsys.readouterr().err
