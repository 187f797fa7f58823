"""Nearest names, for messages about a name that does not exist."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Says which known names are nearest to a wrong one, whatever its case.

    Args:
        name: what was asked for.
        known: the names there are.
        prefix: put before each suggestion.

    Returns:
        A sentence that starts with a space, or an empty string if nothing is near.

    Examples:
        >>> did_you_mean("resnet50", ["ResNet50", "VGG16"])
        ' Did you mean ResNet50?'
    """
    by_lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    names = [prefix + by_lower[other] for other in near]
    return f" Did you mean {' or '.join(names)}?" if names else ""
