"""Channel counts that hardware likes: how many channels leave at a time."""

import math
from typing import Any

import numpy as np

from hh_keras.errors import HHError
from hh_keras.graph.channels import ChannelMap

AUTO = "auto"
# Vectors of 8 channels fill registers and tensor cores; below 16, that is half a layer.
WIDE, NARROW, FROM = 8, 4, 16
FINER = (4, 2, 1)  # what "auto" falls back on, where a budget leaves no other way


def check_round_to(round_to: Any) -> None:
    """Raises HHError for what is neither "auto" nor a positive integer."""
    if isinstance(round_to, str) and round_to == AUTO:
        return
    try:
        whole = int(round_to) == round_to and round_to >= 1
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole or isinstance(round_to, bool):
        raise HHError(
            f"round_to={round_to!r}: give 'auto' or a positive integer, such as 8."
        )


def steps(channel_map: ChannelMap, round_to: int | str) -> list[int]:
    """Channels that each group may gain or lose at a time.

    Layers' counts are then multiples of `round_to`, though a channel of a group may be
    several of a layer's. "auto" is 8 for layers of 16 channels and more, 4 for others.

    Args:
        channel_map: a `ChannelMap`.
        round_to: "auto" or a positive integer.

    Returns:
        List of ints, one for each group.
    """
    found = []
    for group in channel_map.groups:
        times = _times(channel_map, group)
        step = round_to
        if isinstance(step, str):
            step = WIDE if len(group) * times >= FROM else NARROW
        found.append(int(step) // math.gcd(int(step), times))
    return found


def _times(channel_map, group):
    """The channels of a layer that are one channel of a group, the fewest there are.

    One head is as many as it has numbers, one number of all heads as many as these.
    """
    outputs, channel = channel_map.outputs, group.ids.start
    of = channel_map.size + np.flatnonzero((channel_map.products == channel).any(1))
    here = np.append(of, channel)
    found = []
    for name in group.producers:
        if name in outputs:
            found.append(int(np.isin(outputs[name], here).sum()))
        found += _inside(channel_map.sites[name], channel)
    return min([n for n in found if n] or [1])


def _inside(site, channel):
    """How often a channel stands in the tensors that a layer makes inside.

    Of attention: a query kernel is (stream, heads, numbers); the channel that is one of
    four heads of six numbers stands six times along its inner axes, that of a number
    four times.
    """
    inner = [ids for each in site.inner.values() for ids, _ in each.values()]
    found = []
    for axes in site.weights.values():
        own = [ids for ids in axes if any(np.array_equal(ids, x) for x in inner)]
        if any(channel in ids for ids in own):
            found.append(
                math.prod(
                    int((ids == channel).sum()) if channel in ids else len(ids)
                    for ids in own
                )
            )
    return found


def common(step: int, other: int, size: int) -> int:
    """The least multiple of two steps, for a group that still can be made smaller.

    Args:
        step: of channels.
        other: the device's, which is halved until the group has two of the multiple.
        size: channels of the group.
    """
    while other > 1 and math.lcm(step, other) > size // 2:
        other //= 2
    return math.lcm(step, max(1, other))
