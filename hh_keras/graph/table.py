"""Plain-text tables, for terminals and logs."""


def text_table(header, rows, right=()):
    """Lays rows out in columns.

    Args:
        header: column titles.
        rows: sequences of values, as long as the header.
        right: indices of the columns that are aligned to the right.
    """
    cells = [[str(v) for v in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        parts = [
            v.rjust(w) if i in right else v.ljust(w)
            for i, (v, w) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


def some(names, limit=3):
    """Names, shortened to the first few."""
    names = list(names)
    text = ", ".join(names[:limit])
    return f"{text}, +{len(names) - limit} more" if len(names) > limit else text


def describe_channels(channel_map):
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
    from hh_keras.graph.cost import cost_model

    costs = cost_model(channel_map)
    most, least = costs(costs.sizes), costs(costs.smallest)
    saved = [
        f"{1 - low / high:.1%} of the {name}"
        for name, low, high in zip(("MACs", "parameters"), least, most)
        if high == high and high > 0
    ]
    return f" At most {' and '.join(saved)} could be saved."
