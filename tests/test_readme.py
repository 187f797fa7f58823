"""The README's Python examples run, in order, in one namespace."""

import pathlib
import re

import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"


@pytest.mark.filterwarnings("ignore")
def test_examples_run(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)
    assert len(blocks) >= 4
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["small"].count_params() < names["model"].count_params()
    assert (tmp_path / "plan.json").exists()


@pytest.mark.filterwarnings("ignore")
def test_the_example_of_the_training_page_runs(tmp_path, monkeypatch, capsys):
    page = README.parent / "docs" / "training.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S)
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, "training.md", "exec"), {})
    assert 0 <= float(capsys.readouterr().out.splitlines()[-1]) <= 1
    assert (tmp_path / "runs/doc/history/model.csv").exists()


def test_links_lead_somewhere():
    pages = [*README.parent.glob("**/README.md"), *README.parent.glob("docs/*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page}: {link}"
