"""Every public name has a docstring, with an example that runs as it stands there."""

import ast
import doctest
import inspect
import pathlib
import runpy
import shutil
import types

import keras
import matplotlib.pyplot as plt
import pytest

import hh_keras

ROOT = pathlib.Path(__file__).resolve().parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
HOOKS = types.SimpleNamespace(**runpy.run_path(str(ROOT / "docs/hooks.py")))


def public_names():
    """What `hh_keras` and its rooms export: where it is defined, once each."""
    rooms = [
        f"hh_keras.{path.parent.name}"
        for path in sorted((ROOT / "hh_keras").glob("*/__init__.py"))
        if "__all__ = " in path.read_text("utf-8")
    ]
    own = [n for n in hh_keras.__all__ if not inspect.ismodule(getattr(hh_keras, n))]
    names = [f"hh_keras.{name}" for name in own]
    names += [name for room in rooms for name in HOOKS.public_names(room)]
    return sorted({HOOKS.defined(name) for name in names})


def docstring(name):
    """What stands in a class or a function, or below a value; by the source alone."""
    module, _, own = name.rpartition(".")
    source = (ROOT / module.replace(".", "/")).with_suffix(".py")
    body = ast.parse(source.read_text("utf-8")).body
    for node, after in zip(body, [*body[1:], None]):
        if getattr(node, "name", None) == own:
            return ast.get_docstring(node) or ""
        targets = [getattr(each, "id", "") for each in getattr(node, "targets", ())]
        if own in targets:
            text = getattr(getattr(after, "value", None), "value", None)
            return inspect.cleandoc(text) if isinstance(text, str) else ""
    raise LookupError(f"{source} has no {own}")


DOCSTRINGS = {name: docstring(name) for name in public_names()}
SETTING = compile((ROOT / "docs/examples.py").read_text("utf-8"), "examples", "exec")


def test_every_public_name_is_described_with_an_example():
    assert len(DOCSTRINGS) > 100
    assert [name for name, text in DOCSTRINGS.items() if not text] == []
    assert [name for name, text in DOCSTRINGS.items() if ">>> " not in text] == []
    assert [name for name, text in DOCSTRINGS.items() if "+SKIP" in text] == []


def test_every_public_name_is_in_the_reference():
    pages = {name for _, rooms in HOOKS.ROOMS.values() for name in HOOKS._names(rooms)}
    assert {n.rpartition(".")[2] for n in DOCSTRINGS} - pages == {"__version__"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DOCSTRINGS)
def test_an_example_runs(name, tmp_path, monkeypatch):
    """From what docs/examples.py makes, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "tests/phone.json", tmp_path)
    keras.utils.set_random_seed(0)
    names = {}
    exec(SETTING, names)
    parsed = doctest.DocTestParser().get_doctest(
        DOCSTRINGS[name], names, name, None, None
    )
    said = []
    doctest.DocTestRunner(optionflags=FLAGS).run(parsed, out=said.append)
    plt.close("all")
    assert not said, "".join(said)


def test_the_site_reads_what_is_returned_as_one_item():
    """Not a line of it as one, and the next as another."""
    load, griffe = (pytest.importorskip(x) for x in ("mkdocs.config", "griffe"))
    site = load.load_config(str(ROOT / "mkdocs.yml"))
    python = site.plugins["mkdocstrings"].config.handlers["python"]
    options = python["options"]["docstring_options"]
    sections = [
        section
        for text in DOCSTRINGS.values()
        for section in griffe.Docstring(text).parse("google", warnings=False, **options)
        if section.kind.value == "returns"
    ]
    assert len(sections) > 40
    assert [s.value for s in sections if len(s.value) != 1] == []
