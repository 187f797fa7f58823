"""How far a long computation is, on a terminal."""

from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm


def progress(steps: Iterable | None, label: str, total: float | None = None) -> Any:
    """Passes steps on and shows how many are done; nothing where nobody looks.

    Args:
        steps: to go through; None for a bar that is moved by its `update`.
        label: what is done, a few words.
        total: how many steps; None if it is not known.

    Returns:
        A `tqdm.tqdm`: an iterator, and a context.
    """
    few = {"bar_format": "{desc}: {percentage:.0f} %|{bar}|"} if steps is None else {}
    return tqdm(steps, label, total, leave=False, disable=None, **few)
