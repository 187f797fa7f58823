"""Parts of a network that are left alone: this part shrinks, that one stays."""

import dataclasses
import difflib
import fnmatch
import re
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from hh_keras.errors import HHError
from hh_keras.graph.channels import ChannelMap

Patterns = str | Sequence[str] | None


def leave_alone(
    channel_map: ChannelMap, only: Patterns = None, freeze: Patterns = None
) -> ChannelMap:
    """Freezes the groups that are to keep all of their channels.

    A pattern is the name, or a shell pattern of the names, of a layer ("conv_*",
    "backbone/conv_1"), of a group, or of what layers are in: a nested model, or a class
    that was opened ("backbone", "block_3").

    Args:
        channel_map: of `hh_keras.trace`; it is not changed.
        only: these alone shrink: groups of which every producer fits a pattern, or
            whose own name does, which is that of its first layer. What is otherwise
            tied to a layer outside stays, as that would change, too.
        freeze: these stay: groups of which a producer, or another layer with weights
            for its channels, fits a pattern.

    Returns:
        A `ChannelMap`, in which the other groups are frozen, with the reason.

    Raises:
        HHError: no pattern in `only`; a pattern that fits nothing, or nothing that
            makes channels; it gives the nearest names. Or nothing is left to shrink.

    Examples:
        >>> channels = hh_keras.leave_alone(hh_keras.trace(model), freeze="conv_2")
        >>> [group.name for group in channels.groups if not group.frozen]
        ['conv_1']
    """
    if only is not None and not _listed(only):
        raise HHError("only names nothing: give a pattern, or leave it out.")
    only, freeze = _listed(only), _listed(freeze)
    if not (only or freeze):
        return channel_map
    makers = _makers(channel_map)
    chosen = _chosen(channel_map, makers, only)
    still = _still(channel_map, makers, freeze)
    groups = []
    for k, group in enumerate(channel_map.groups):
        why = None
        if k in still:
            why = f"left alone: freeze={', '.join(freeze)}"
        elif only and k not in chosen:
            why = f"left alone: it is not of only={', '.join(only)}"
        groups.append(dataclasses.replace(group, frozen=group.frozen or why))
    found = dataclasses.replace(channel_map, groups=tuple(groups))
    if channel_map.removable.any() and not found.removable.any():
        raise HHError(
            f"nothing is left to shrink of model '{channel_map.model_name}' with "
            f"{_flags(only, freeze)}: every other group is tied to a layer outside, or "
            "cannot shrink. hh_keras.trace(model) shows groups and ties."
        )
    return found


def left_alone(channel_map: ChannelMap) -> list[str]:
    """The names of the groups that `leave_alone` froze."""
    return [
        g.name
        for g in channel_map.groups
        if g.frozen and g.frozen.startswith("left alone: ")
    ]


def _listed(patterns):
    found = [patterns] if isinstance(patterns, str) else patterns or ()
    if not isinstance(found, Sequence) or not all(isinstance(x, str) for x in found):
        raise HHError(
            f"only and freeze take names or shell patterns of layers; got {patterns!r}."
        )
    return list(found)


def _flags(only, freeze):
    parts = {"only": only, "freeze": freeze}
    return " and ".join(f"{k}={', '.join(v)}" for k, v in parts.items() if v)


def _names(path: str) -> Iterator[str]:
    """A layer's path, its own name, and the names of what it is in."""
    yield path
    ends = [m.start() for m in re.finditer(r"[/.]", path)]
    for end in ends:
        yield path[:end]
        yield path[end + 1 :]
    for start, end in zip(ends, ends[1:]):
        yield path[start + 1 : end]


def _fits(path, pattern):
    return any(fnmatch.fnmatchcase(name, pattern) for name in _names(path))


def _makers(channel_map):
    """For each group, the layers that make its channels or have weights for them."""
    owner = np.empty(channel_map.size, int)
    for k, group in enumerate(channel_map.groups):
        owner[group.ids.start : group.ids.stop] = k
    found = [(set(group.producers), set()) for group in channel_map.groups]
    for path, ids in channel_map.outputs.items():
        if channel_map.sites[path].weights:
            for k in np.unique(owner[ids[ids >= 0]]):
                found[k][1].add(path)
    return found


def _chosen(channel_map, makers, patterns):
    """Places of the groups that are made by what fits the patterns alone."""
    _check(channel_map, makers, patterns, "only")
    found = set()
    for k, (group, (producers, _)) in enumerate(zip(channel_map.groups, makers)):
        others = sorted(x for x in producers if not any(_fits(x, p) for p in patterns))
        if producers and not others:
            found.add(k)
        elif any(fnmatch.fnmatchcase(group.name, p) for p in patterns):
            found.add(k)
            if others:
                warnings.warn(
                    f"only={', '.join(patterns)}: '{group.name}' is the name of a "
                    f"group, with which {', '.join(others)} shrinks, too, being tied.",
                    stacklevel=4,
                )
    return found


def _still(channel_map, makers, patterns):
    """Places of the groups that what fits the patterns has a part in."""
    _check(channel_map, makers, patterns, "freeze")
    return {
        k
        for k, (group, (producers, others)) in enumerate(
            zip(channel_map.groups, makers)
        )
        if any(fnmatch.fnmatchcase(group.name, p) for p in patterns)
        or any(_fits(x, p) for x in producers | others for p in patterns)
    }


def _check(channel_map, makers, patterns, flag):
    """Refuses patterns that fit no layer, or none that has a part in channels."""
    for pattern in patterns:
        if any(fnmatch.fnmatchcase(g.name, pattern) for g in channel_map.groups):
            continue
        if any(_fits(x, pattern) for both in makers for x in both[0] | both[1]):
            continue
        if any(_fits(path, pattern) for path in channel_map.sites):
            producers = sorted(set().union(*(made for made, _ in makers)))
            raise HHError(
                f"{flag}={pattern}: what fits makes no channels, and has no weights "
                f"for any. Layers that do are{_nearest(pattern, producers)}."
            )
        known = {name for path in channel_map.sites for name in _names(path)}
        raise HHError(
            f"{flag}={pattern}: no layer, group or nested model of "
            f"'{channel_map.model_name}' fits; there are{_nearest(pattern, known)}."
        )


def _nearest(pattern, names):
    near = difflib.get_close_matches(pattern, sorted(names), 3, 0.0)
    return f", nearest, {', '.join(near)}"
