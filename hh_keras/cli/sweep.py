"""--sweep: networks of several sizes side by side, so that one can be chosen."""

import math
import textwrap

import keras
import numpy as np
from absl.flags import FlagValues

import hh_keras
from hh_keras import files, report
from hh_keras.cli import network
from hh_keras.cli.workdir import Run, to_json
from hh_keras.data import ImageData, Unlabelled
from hh_keras.goal import Goal
from hh_keras.graph.table import text_table
from hh_keras.progress import progress
from hh_keras.report.numbers import millions
from hh_keras.tasks import registry

_MEASURED = 1000  # validation images


def keep(
    run: Run,
    original: keras.Model,
    result: hh_keras.ShrinkResult,
    sweep: list[hh_keras.ShrinkResult],
    data: ImageData | Unlabelled,
    args: FlagValues,
) -> list[dict]:
    """Writes plan and network of every share, a table and a picture; shows the table.

    Args:
        run: of the claimed work directory; files go to `sweep/` in it.
        original: the network that all are made of.
        result: the one of --macs, which is a row too.
        sweep: those of --sweep.
        data: with labelled validation images, the task's goal is measured as well.
        args: flags.

    Returns:
        A dict for each network, the original first, the smaller the later: `share` of
        the MACs that was asked for (None for the original and for --macs), `macs`,
        `params`, `kept`, `agreement`, `goal`, and the folder, `place`.
    """
    if not sweep:
        return []
    task = registry.application(args).task
    rows = [_row(original, None, None, "", data, task)]
    same = None if result.kept is None or result.kept.agreement is None else 1.0
    rows[0].update(kept=1.0, agreement=same)
    chosen = _row(result.model, result, None, "", data, task)
    pairs = list(zip(args.sweep, sweep, strict=True))
    for share, each in progress(pairs, "measuring the sizes"):
        place = f"sweep/{share:g}x"
        each.plan.save(run.path / place / "plan.json")
        network.save_model(each.model, run.path / place / "lw_dna.keras")
        rows.append(_row(each.model, each, share, place, data, task))
    rows = sorted([*rows, chosen], key=lambda row: -row["macs"])
    figure = report.plot_sweep(rows, task.goal)
    files.write(run.path / "sweep/sweep.png", report.png(figure))
    files.write(run.path / "sweep/sweep.json", to_json(rows))
    print(textwrap.indent(table(rows, task.goal), "  "))
    print(f"  sweep      {run.path / 'sweep'}: choose, and train it or set --macs")
    return rows


def _row(model, result, share, place, data, task):
    cost = hh_keras.cost(model, data.image_shape)
    kept = result.kept if result else None
    goal = None
    if data.validation is not None:
        size = len(next(iter(data.validation))[0])
        images = data.validation.take(math.ceil(_MEASURED / max(size, 1)))
        goal = task.evaluate(model, images)[task.goal.key]
    return {
        "share": share,
        "macs": int(cost.macs),
        "params": int(cost.params),
        "kept": kept.share if kept else None,
        "agreement": kept.agreement if kept else None,
        "goal": None if goal is None else float(np.asarray(goal)),
        "place": place,
    }


def table(rows: list[dict], goal: Goal) -> str:
    """What every network of a sweep costs and keeps, as text."""
    whole = rows[0]
    cells = [
        (
            _name(row, whole),
            millions(row["macs"]),
            f"{row['macs'] / whole['macs']:.1%}",
            millions(row["params"]),
            _percent(row["kept"]),
            _percent(row["agreement"]),
            "" if row["goal"] is None else goal.plain(row["goal"]),
        )
        for row in rows
    ]
    head = ["", "MACs", "share", "parameters", "output kept", "same answer", goal.label]
    used = [k for k in range(len(head)) if k == 0 or any(row[k] for row in cells)]
    shown = [[row[k] for k in used] for row in cells]
    return text_table([head[k] for k in used], shown, right=range(1, len(used)))


def _name(row, whole):
    if row is whole:
        return "original"
    return f"{row['share']:g}x" if row["share"] else "--macs"


def _percent(share):
    return "" if share is None else f"{share:.1%}"
