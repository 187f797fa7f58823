"""A model's channels as text: what is coupled, what is frozen and why."""

from typing import Any

from hh_keras.graph.cost_model import cost_model
from hh_keras.graph.table import some, text_table


def describe_channels(channel_map: Any) -> str:
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
    return f"{table}\n{foot}{_at_most(channel_map)}"


def _at_most(channel_map):
    costs = cost_model(channel_map)
    most, least = costs(costs.sizes), costs(costs.smallest)
    saved = [
        f"{1 - low / high:.1%} of the {name}"
        for name, low, high in zip(("MACs", "parameters"), least, most)
        if high == high and high > 0
    ]
    return f" At most {' and '.join(saved)} could be saved."
