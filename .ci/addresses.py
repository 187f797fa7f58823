"""Writes where the repository is into what is read outside of it.

    .ci/addresses.py https://github.com/OWNER/NAME --ref=v0.2.0  # before a release
    .ci/addresses.py https://github.com/OWNER/NAME --notebooks   # once, to be committed

The first makes the links and pictures of README.md absolute, for PyPI, and gives
setup.cfg its project_urls; the second has the notebooks' badges open them in Colab, and
install from the repository. A clone has no address in it, so that it can lie anywhere.
"""

import argparse
import pathlib
import posixpath
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_ELSEWHERE = re.compile(r"\w+://|mailto:")
_CHOOSER = "https://colab.research.google.com/github/)"


def absolute(page: str, repository: str, ref: str, root: pathlib.Path = ROOT) -> str:
    """The text of README.md with links that work anywhere; code stays as it is.

    Raises:
        ValueError: a link leads nowhere.
    """

    def lead(match):
        image, text, target = match.groups()
        if _ELSEWHERE.match(target):
            return match.group()
        path, _, anchor = target.partition("#")
        path = posixpath.normpath(path or "README.md")
        if not (root / path).exists():
            raise ValueError(f"README.md: the link {target} leads nowhere")
        kind = "raw" if image else "tree" if (root / path).is_dir() else "blob"
        anchor = f"#{anchor}" if anchor else ""
        return f"{image}[{text}]({repository}/{kind}/{ref}/{path}{anchor})"

    parts = re.split(r"(```.*?```)", page, flags=re.S)
    return "".join(p if p.startswith("```") else _LINK.sub(lead, p) for p in parts)


def with_urls(settings: str, repository: str, ref: str) -> str:
    """The text of setup.cfg with the repository in its metadata."""
    urls = f"""project_urls =
    Documentation = {repository}/tree/{ref}/docs
    Repository = {repository}
    Issues = {repository}/issues
    Changelog = {repository}/blob/{ref}/CHANGELOG.md
"""
    return settings.replace("[metadata]\n", f"[metadata]\n{urls}", 1)


def in_colab(notebook: str, name: str, repository: str) -> str:
    """The text of a notebook, or of its script, that opens itself in Colab."""
    project = repository.partition("github.com/")[2]
    if not project:
        raise ValueError(f"{repository}: Colab opens notebooks on github.com only")
    there = _CHOOSER[:-1] + f"{project}/blob/main/notebooks/{name}.ipynb)"
    return notebook.replace(_CHOOSER, there).replace("git+ADDRESS", f"git+{repository}")


def _rewrite(path, change, *args):
    path.write_text(change(path.read_text("utf-8"), *args), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", type=lambda text: text.rstrip("/"))
    parser.add_argument("--ref", default="main")
    parser.add_argument("--notebooks", action="store_true")
    args = parser.parse_args()
    if args.notebooks:
        for path in (ROOT / "notebooks").iterdir():
            if path.suffix in (".py", ".ipynb"):
                _rewrite(path, in_colab, path.stem, args.repository)
        return
    _rewrite(ROOT / "README.md", absolute, args.repository, args.ref)
    _rewrite(ROOT / "setup.cfg", with_urls, args.repository, args.ref)


if __name__ == "__main__":
    main()
