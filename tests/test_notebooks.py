"""Notebooks run from top to bottom, and are what their scripts are."""

import os
import pathlib
import runpy
import subprocess
import sys
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_notebook_has_the_cells_of_its_script(script):
    jupytext = pytest.importorskip("jupytext")
    cells = [
        [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]
        for path in (script, script.with_suffix(".ipynb"))
    ]
    assert cells[0] == cells[1] and len(cells[0]) > 8


def test_the_site_opens_them_in_colab():
    """From the repository that it is built in: `HH_KERAS_REPOSITORY`."""
    hooks = runpy.run_path(str(ROOT / "docs/hooks.py"))
    page = types.SimpleNamespace(file=types.SimpleNamespace(src_uri="index.md"))
    none = types.SimpleNamespace(get_file_from_path=lambda path: None)
    links = "".join(f"[it](notebooks/{path.stem}.ipynb)" for path in SCRIPTS)

    def led(repository):
        config = types.SimpleNamespace(repo_url=repository)
        return hooks["on_page_markdown"](links, page, config, none)

    colab = "https://colab.research.google.com/github/me/mine/blob/main/notebooks/"
    made = led("https://github.com/me/mine")
    assert all(f"[Colab]({colab}{path.stem}.ipynb)" in made for path in SCRIPTS)
    assert "colab" not in led("https://example.org/me/mine") + led(None)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_notebook_runs(script, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    run = [sys.executable, "-W", "ignore", str(script)]
    done = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
