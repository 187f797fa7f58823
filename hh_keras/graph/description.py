"""A model's channels as text: what is coupled, what is frozen and why."""

import fnmatch
from typing import Any

from hh_keras.graph.cost_model import cost_model
from hh_keras.graph.table import Table, some, text_table


def describe_channels(channel_map: Any) -> Table:
    """A table of a model's groups: what is coupled, what is frozen and why."""
    rows = [
        (
            g.name,
            len(g),
            some(g.producers) or "-",
            some(g.consumers) or "-",
            f"frozen: {g.frozen}" if g.frozen else "",
        )
        for g in channel_map.groups
    ]
    table = text_table(
        ("group", "channels", "made by (tied)", "read by", ""), rows, right=(1,)
    )
    made = int(channel_map.produced.sum())
    free = int(channel_map.removable.sum())
    share = channel_map.removable_share
    foot = (
        f"{channel_map.model_name}: {made} channels in {len(channel_map.groups)} "
        f"groups, {free} removable ({share:.0%})."
    )
    return table.with_foot(f"{foot}{_at_most(channel_map)}")


def explain_layers(channel_map: Any, pattern: str) -> Table:
    """A table of what each layer does to channels, and how that is known."""
    makers = {name for group in channel_map.groups for name in group.producers}
    rows = [
        (
            path,
            site.kind,
            "trial" if site.tried else "rule",
            _does(channel_map, path, path in makers),
        )
        for path, site in channel_map.sites.items()
        if fnmatch.fnmatchcase(path, pattern)
    ]
    return text_table(("layer", "type", "by", "what it does to channels"), rows)


def _does(channel_map, path, makes):
    site = channel_map.sites[path]
    if site.why and not makes:
        return f"keeps them: {site.why}"
    parts = [f"makes {len(channel_map.outputs[path])}"] if makes else []
    reads = [ids for each in site.contracts.values() for _, _, ids in each]
    counts = [ids for each in site.statistics.values() for _, _, ids, _ in each]
    if reads:
        parts.append(f"reads {len(reads[0])}")
    if counts:
        parts.append(f"takes a statistic of {len(counts[0])}, those that stay")
    if site.adds is not None:
        parts.append(f"adds {len(site.adds)} planes of a constant")
    if not parts:
        parts.append("passes them on")
    follow = [
        name
        for name, axes in site.weights.items()
        if any(ids is not None and channel_map.may_leave[ids].any() for ids in axes)
    ]
    if follow:
        parts.append(f"{some(follow, 4)} follow{'s' if len(follow) == 1 else ''}")
    if site.why:
        parts.append(site.why)
    return "; ".join(parts)


def _at_most(channel_map):
    costs = cost_model(channel_map)
    most, least = costs(costs.sizes), costs(costs.smallest)
    saved = [
        f"{1 - low / high:.1%} of the {name}"
        for name, low, high in zip(("MACs", "parameters"), least, most)
        if high == high and high > 0
    ]
    return f" At most {' and '.join(saved)} could be saved."
