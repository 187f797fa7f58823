"""Writing a file or folder whole or not at all."""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from hh_keras.errors import WorkdirError

_MARK = ".new-"


def replace(path: str | os.PathLike, make: Callable[[Path], object]) -> None:
    """Has `make` produce a file or folder, then moves it to `path` in one step.

    It is made in a hidden folder beside `path`, on the same file system. Readers see
    the old content or the new, no mix; if `make` fails, the old one stays.

    Args:
        path: where it goes; folders above it are made.
        make: function of a path that has the same name.

    Raises:
        WorkdirError: the file system refuses; the message names `path`.
    """
    path = Path(path)
    with _made(path, make) as new:
        if path.is_dir() and not path.is_symlink():
            _swap(path, new, new.with_name("old folder"))
        else:
            os.replace(new, path)


def add(paths: Iterable[Path], make: Callable[[Path], object]) -> Path:
    """Has `make` produce a folder, then moves it to the first path that is free.

    As `replace`, but what is there stays, also if another process adds at the same
    time.

    Args:
        paths: iterable of paths in one folder, as many as it takes.
        make: function of a path that has the first one's name.

    Returns:
        The path that was free, a `Path`.

    Raises:
        WorkdirError: the file system refuses; the message names the first path.
    """
    paths = map(Path, paths)
    path = next(paths)
    with _made(path, make) as new:
        while True:
            try:
                os.rename(new, path)
                return path
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            path = next(paths)


_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


@contextlib.contextmanager
def _made(path, make):
    """What `make` produced, in a hidden folder beside `path` that goes away after."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name}{_MARK}"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as folder:
            new = Path(folder, path.name)
            make(new)
            yield new
    except OSError as error:
        reason = error.strerror or error
        raise WorkdirError(f"cannot write {path}: {reason}.") from error


def _swap(path, new, old):
    """Nothing can be moved onto a folder that is not empty: it makes room first."""
    os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(old, path)
        raise


def write(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes text (as UTF-8) or bytes to a file in one step, see `replace`.

    Args:
        path: the file; folders above it are made.
        content: all of its content, str or bytes.

    Raises:
        WorkdirError: the file cannot be written.
    """
    content = content.encode() if isinstance(content, str) else content
    replace(path, lambda new: new.write_bytes(content))


def digest(path: Path) -> str:
    """Tells one content from another: of a file, or of all files of a folder.

    Returns:
        16 hexadecimal digits of a SHA-256.
    """
    found = hashlib.sha256()
    inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else ()
    for file in inside or (path,):
        if inside:
            found.update(str(file.relative_to(path)).encode())
        with file.open("rb") as content:
            for block in iter(lambda: content.read(1 << 20), b""):
                found.update(block)
    return found.hexdigest()[:16]


def sweep(folder: Path) -> None:
    """Removes what processes that were killed within `replace` left below a folder.

    Nobody else may be writing there.
    """
    for left in Path(folder).glob(f"**/.*{_MARK}*"):
        shutil.rmtree(left, ignore_errors=True)
