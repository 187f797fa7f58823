"""What a search found, in words for the screen and as facts for files."""

import dataclasses
from collections.abc import Mapping

import keras

import hh_keras
from hh_keras.graph.table import some
from hh_keras.report.numbers import millions


def summary(result: hh_keras.ShrinkResult) -> str:
    """A few lines on what the search did, for the screen."""
    before, wide, after = result.cost_before, result.cost_wide, result.cost_after
    ms = ""
    if result.latency:
        found = result.latency
        ms = (
            f"\n  latency    {found['original']:.3g} ms -> {found['predicted']:.3g} ms "
            f"predicted, limit {found['target']:.3g} ms"
        )
        if "measured" in found:
            ratio = found["measured"] / found["original"]
            ms += f"; measured {ratio:.3f} of the original's"
    wider = wide.macs != before.macs
    macs, params = (
        " -> ".join([millions(n), *([f"widened {millions(w)}"] if wider else [])])
        for n, w in ((before.macs, wide.macs), (before.params, wide.params))
    )
    return (
        f"  MACs       {macs} -> {millions(after.macs)} "
        f"({after.macs / before.macs:.1%} of the original)\n"
        f"  parameters {params} -> {millions(after.params)} "
        f"({after.params / before.params:.1%}){ms}"
        + _left_alone_line(result.plan.notes)
        + (f"\n{_kept_lines(result.kept)}" if result.kept else "")
    )


def _left_alone_line(notes: Mapping) -> str:
    """A line on the groups that --only and --freeze left alone; else nothing."""
    names = notes.get("left_alone")
    if not names:
        return ""
    groups = f"{len(names)} group{'s' * (len(names) != 1)}"
    return f"\n  left alone {groups}: {some(names)}"


def _kept_lines(kept: hh_keras.Kept) -> str:
    """Two lines on how much of the outputs is left."""
    same = kept.agreement
    answers = "" if same is None else f"; the same answer for {same:.1%}"
    which = "held out" if kept.held_out else "also learnt from: too good a figure"
    images = f"{kept.examples:,} image{'s' * (kept.examples != 1)}"
    share = f"{kept.share:.1%}" if kept.share == kept.share else "no telling how much"
    lines = (
        f"  kept       {share} of the output{answers}, untrained, on {images} ({which})"
    )
    if kept.worst is not None:
        lines += (
            f"\n             least in '{kept.worst}': {kept.layers[kept.worst]:.1%}"
        )
    return lines


def kept_facts(kept: hh_keras.Kept | None) -> dict | None:
    """The same for run.json and the report; None if it is not known."""
    if kept is None:
        return None
    facts = dataclasses.asdict(kept)
    facts = {"share": kept.share, "agreement": kept.agreement, **facts}
    # JSON has no NaN.
    return keras.tree.map_structure(lambda x: None if x != x else x, facts)
