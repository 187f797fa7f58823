"""What the site is made of besides `docs`: pages from elsewhere in the repository, and
the reference of every public name.

Links are those of the repository, where the pages are read as well. Here they lead to
the site's own pages; those to source code lead to the repository, if it is known where.
"""

import ast
import pathlib
import posixpath
import re
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).resolve().parents[1]
ELSEWHERE = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/**/*.md",
    "benchmarks/**/*.png",
    "deploy/**/*.md",
)
# Page of the reference: its title, and where its names are.
ROOMS = {
    "networks": ("Networks and channels", ("hh_keras:graph", "hh_keras:surgery")),
    "search": ("Search", ("hh_keras:search",)),
    "training": ("Training", ("hh_keras:training", "hh_keras.training")),
    "data": ("Data", ("hh_keras.data",)),
    "models": ("Models", ("hh_keras.models",)),
    "export": ("Export", ("hh_keras.export",)),
    "latency": ("Latency", ("hh_keras.latency",)),
    "report": ("Report", ("hh_keras.report",)),
    "errors": ("Errors", ("hh_keras:errors",)),
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_TARGETS = re.compile(r"\w+://|mailto:|#")


def public_names(room: str) -> list[str]:
    """The dotted names of a package, `hh_keras.data`, or of `hh_keras` itself that live
    in one of its packages, `hh_keras:graph`.
    """
    package, _, part = room.partition(":")
    path = ROOT / package.replace(".", "/") / "__init__.py"
    stub = path.with_suffix(".pyi")
    if stub.exists():
        return [
            f"{package}.{alias.name}"
            for node in ast.parse(stub.read_text("utf-8")).body
            if isinstance(node, ast.ImportFrom) and node.module  # else a room
            if node.module.split(".")[0] == part or not part
            for alias in node.names
        ]
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            return [f"{package}.{name}" for name in ast.literal_eval(node.value)]
    raise ValueError(f"{path} has no __all__")


def defined(name: str) -> str:
    """Where an object is defined that is imported from elsewhere: dotted name to such.

    By the imports, not by what a name is: `inline` is a function and its module.
    """
    module, _, own = name.rpartition(".")
    path = ROOT / module.replace(".", "/")
    stub, package = path / "__init__.pyi", path / "__init__.py"
    source = next(p for p in (stub, package, path.with_suffix(".py")) if p.exists())
    for node in ast.parse(source.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and own in [a.name for a in node.names]:
            above = f"{module}." if node.level else ""
            return defined(f"{above}{node.module}.{own}")
    return name


def _names(rooms):
    """The names of a page, once each: last part to dotted name."""
    found: dict[str, str] = {}
    for name in (name for room in rooms for name in public_names(room)):
        found.setdefault(name.rsplit(".")[-1], name)
    return found


def _reference(title, rooms):
    parts = [
        f"::: {defined(name)}\n    options: {{heading: {name}, toc_label: {own}}}\n"
        for own, name in _names(rooms).items()
    ]
    return "\n".join([f"# {title}\n", *parts])


def _overview():
    lines = ["# Reference\n"]
    for page, (title, rooms) in ROOMS.items():
        names = ", ".join(f"`{name}`" for name in _names(rooms))
        lines.append(f"- [{title}]({page}.md): {names}")
    setting = (ROOT / "docs/examples.py").read_text("utf-8").split('"""\n\n', 1)[1]
    lines += ["", "## What the examples start from", "", "```python", setting + "```"]
    told = "`phone.json` is a latency table of `model`, as `hh_keras.latency.measure` "
    lines += ["", f"{told}makes one on a device."]
    return "\n".join(lines) + "\n"


def _uri(path):
    """Where a file of the repository is on the site."""
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages; mkdocs calls it."""
    for pattern in ELSEWHERE:
        for path in sorted(ROOT.glob(pattern)):
            own = path.relative_to(ROOT).as_posix()
            if "node_modules" not in own:
                made = File.generated(config, _uri(own), abs_src_path=str(path))
                files.append(made)
    for page, (title, rooms) in ROOMS.items():
        text = _reference(title, rooms)
        files.append(File.generated(config, f"api/{page}.md", content=text))
    files.append(File.generated(config, "api/index.md", content=_overview()))
    for code in ("hooks.py", "examples.py"):
        found = files.get_file_from_path(code)
        if found:
            files.remove(found)
    return files


def _in_colab(repository, path):
    """A link that opens a notebook in Colab, which reads it from GitHub."""
    _, _, project = repository.partition("github.com/")
    if not (project and path.endswith(".ipynb")):
        return ""
    where = "https://colab.research.google.com/github"
    return f" ([Colab]({where}/{project.rstrip('/')}/blob/main/{path}))"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Has a page's links lead to where things are on the site; mkdocs calls it."""
    uri = page.file.src_uri
    if uri.startswith("api/"):
        return markdown
    own = "README.md" if uri == "index.md" else uri
    if not (ROOT / own).exists():
        own = f"docs/{uri}"

    def lead(match):
        image, text, target = match.groups()
        if _TARGETS.match(target):
            return match.group()
        path, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(own), path))
        if (ROOT / path).is_dir() and (ROOT / path / "README.md").exists():
            path += "/README.md"
        anchor = f"#{anchor}" if anchor else ""
        if files.get_file_from_path(_uri(path)):
            there = posixpath.relpath(_uri(path), posixpath.dirname(uri) or ".")
            return f"{image}[{text}]({there}{anchor})"
        if not (ROOT / path).exists():
            raise ValueError(f"{own}: the link {target} leads nowhere")
        if not config.repo_url:
            return text
        found = f"{image}[{text}]({config.repo_url}/blob/main/{path}{anchor})"
        return found + _in_colab(config.repo_url, path)

    parts = re.split(r"(```.*?```)", markdown, flags=re.S)
    return "".join(p if p.startswith("```") else _LINK.sub(lead, p) for p in parts)
