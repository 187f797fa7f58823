"""A package that a flag needs is missed before any work is done."""

import importlib.util

import pytest

from hh_keras.cli.commands import export, run


@pytest.mark.parametrize(
    "command, flag, module, extra",
    [
        (run, "--tensorboard", "tensorboard", "tensorboard"),
        (run, "--mixup=0.2", "keras_cv", "cv"),
        (export, "--formats=float32,onnx", "onnxruntime", "onnx"),
        (export, "--formats=openvino", "openvino", "openvino"),
        (export, "--formats=qat", "tf_keras", "quantize"),
    ],
)
def test_it_is_named(command, flag, module, extra, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == module else find(name, *rest) or object(),
    )
    more = [] if command is run else ["--model=none.keras"]
    assert command.entry([flag, *more]) == 2
    error = capsys.readouterr().err
    assert f"needs {module}" in error and f"'hh_keras[{extra}]'" in error


def test_formats_that_are_not_asked_for_are_not_missed(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    assert export.entry(["--model=none.keras"]) == 2
    assert "none.keras" in capsys.readouterr().err
