"""Scores that make a wanted channel profile: so many channels for every group."""

from typing import Any

import numpy as np

from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.cost_model import cost_model


def profile_scores(channel_map: ChannelMap, profile: Any) -> np.ndarray:
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


def cost_shares(channel_map: ChannelMap) -> np.ndarray:
    """The shares of MACs and of parameters, summed, that each group's channels take.

    It is counted per layer that makes them; 0 for groups that cost nothing.

    Returns:
        Float array `(groups,)`.
    """
    sizes = np.array([len(group) for group in channel_map.groups], float)
    costs = cost_model(channel_map)
    totals = costs(sizes)
    shares = sum(
        sizes * marginal / total
        for marginal, total in zip(costs.marginals(), totals)
        if total > 0  # NaN where the size of the input is unknown
    )
    layers = [max(1, len(group.producers)) for group in channel_map.groups]
    return shares / np.array(layers)


def balanced_profile(channel_map: ChannelMap) -> np.ndarray:
    """Counts at which the layers would take more equal shares of the cost.

    With s a group's `cost_shares`, the profile is n / sqrt(s): a cost that is a product
    of two counts then has equal factors. It needs neither data nor weights.

    Returns:
        Float array `(groups,)`.
    """
    sizes = np.array([len(group) for group in channel_map.groups], float)
    shares = cost_shares(channel_map)
    return sizes / np.sqrt(np.where(shares > 0, shares, 1.0))
