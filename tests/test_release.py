"""What is published holds what it should, with links that work elsewhere."""

import configparser
import email
import pathlib
import re
import runpy
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
ADDRESSES = runpy.run_path(str(ROOT / ".ci/addresses.py"))
REPOSITORY = "https://github.com/me/mine"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What setuptools says that an sdist holds, and its metadata."""
    made = tmp_path_factory.mktemp("sdist")
    code = "import setuptools; setuptools.setup()"
    command = [sys.executable, "-W", "ignore", "-c", code, "-q", "egg_info"]
    subprocess.run([*command, "--egg-base", str(made)], cwd=ROOT, check=True)
    (made,) = made.glob("*.egg-info")
    files = (made / "SOURCES.txt").read_text("utf-8").splitlines()
    return files, email.message_from_string((made / "PKG-INFO").read_text("utf-8"))


def test_an_sdist_holds_the_package_and_what_tells_of_it(told):
    files, _ = told
    outside = {name for name in files if not name.startswith("hh_keras/")}
    pages = {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "README.md"}
    built = {"LICENSE", "MANIFEST.in", "pyproject.toml", "setup.cfg"}
    ours = {name for name in outside if ".egg-info" not in name}
    assert ours == pages | built | {"SECURITY.md"}
    package = {p.relative_to(ROOT).as_posix() for p in ROOT.glob("hh_keras/**/*.py")}
    assert package <= set(files)
    stubs = {p for p in files if p.startswith("hh_keras/") and p.endswith(".pyi")}
    assert {"hh_keras/py.typed", "hh_keras/__init__.pyi"} <= set(files)
    assert len(stubs) == len(list((ROOT / "hh_keras").rglob("*.pyi")))
    assert any(name.startswith("hh_keras/data/embedded/") for name in files)


def test_metadata_names_the_author(told):
    _, metadata = told
    assert metadata["Author"] == "The hh_keras authors"
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_links_of_the_readme_are_absolute_on_pypi():
    page = (ROOT / "README.md").read_text("utf-8")
    made = ADDRESSES["absolute"](page, REPOSITORY, "v0.2.0")
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", made, flags=re.S))
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    assert f"]({REPOSITORY}/blob/v0.2.0/docs/trained.md)" in made
    assert f"]({REPOSITORY}/raw/v0.2.0/docs/pictures/summary.png)" in made
    assert re.findall(r"```.*?```", made, re.S) == re.findall(r"```.*?```", page, re.S)


@pytest.mark.parametrize(
    "link, there",
    [
        ("[a](docs)", "[a](https://github.com/me/mine/tree/main/docs)"),
        ("[a](#b)", "[a](https://github.com/me/mine/blob/main/README.md#b)"),
        ("[a](https://b.org/c)", "[a](https://b.org/c)"),
        ("```\n[a](docs)\n```", "```\n[a](docs)\n```"),
    ],
)
def test_a_link_leads_to_the_repository(link, there):
    assert ADDRESSES["absolute"](link, REPOSITORY, "main") == there


def test_a_link_that_leads_nowhere_is_no_release():
    with pytest.raises(ValueError, match="README.md: the link docs/none.md leads now"):
        ADDRESSES["absolute"]("[a](docs/none.md)", REPOSITORY, "main")


def test_the_metadata_get_the_repository():
    settings = configparser.ConfigParser()
    text = (ROOT / "setup.cfg").read_text("utf-8")
    settings.read_string(ADDRESSES["with_urls"](text, REPOSITORY, "v0.2.0"))
    urls = settings["metadata"]["project_urls"].strip().splitlines()
    assert f"Repository = {REPOSITORY}" in urls
    assert f"Changelog = {REPOSITORY}/blob/v0.2.0/CHANGELOG.md" in urls
    assert settings["metadata"]["name"] == "hh_keras"


def test_the_badge_of_a_notebook_opens_it():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for each in (path, path.with_suffix(".py")):
            text = each.read_text("utf-8")
            made = ADDRESSES["in_colab"](text, path.stem, REPOSITORY)
            colab = "https://colab.research.google.com/github/me/mine/blob/main"
            assert f"]({colab}/notebooks/{path.name})" in made
            assert f"!pip install git+{REPOSITORY}`" in made
            assert len(made.splitlines()) == len(text.splitlines())
    with pytest.raises(ValueError, match="Colab opens notebooks on github.com only"):
        ADDRESSES["in_colab"]("", "it", "https://example.org/me/mine")
