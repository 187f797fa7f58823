"""Scores that make a wanted channel profile: so many channels for every group."""

import numpy as np


def profile_scores(channel_map, profile):
    """Scores by which every group keeps channels in proportion to a profile.

    The k-th channel of a group scores profile / (k + 1/2): wherever the ranking is
    cut, the groups' counts stand to each other as the profile says, rounded to whole
    channels, and no group has more than all.

    Args:
        channel_map: a `ChannelMap`.
        profile: positive float array `(groups,)`, only its ratios matter.

    Returns:
        Float array `(channel_map.size,)`.
    """
    return np.concatenate(
        [
            share / (np.arange(len(group)) + 0.5)
            for group, share in zip(channel_map.groups, profile)
        ]
    )
