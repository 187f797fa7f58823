"""The parity report: every exported file beside the network it came from."""

import pathlib
import textwrap
from collections.abc import Mapping
from typing import Any

from hh_keras import files
from hh_keras.cli.workdir import to_json
from hh_keras.data import ImageData
from hh_keras.export import formats
from hh_keras.graph.table import text_table
from hh_keras.report.numbers import file_size
from hh_keras.tasks.application import Application


def problems(
    application: Application, found: Mapping, max_drop: float
) -> tuple[list[str], list[str]]:
    """What keeps files from being deployed.

    Args:
        application: of the task.
        found: network to what was found, see `write_report`.
        max_drop: the accuracy that a rounded file may lose.

    Returns:
        `(inexact, drops)`: two lists of messages.
    """
    inexact: list[str] = []
    drops: list[str] = []
    for network in found.values():
        for kind, row in network["files"].items():
            if kind in formats.SAME:
                inexact += filter(None, [formats.inexact(row["file"], row)])
            elif row["drop"] is not None and row["drop"] > max_drop + 1e-9:
                drops.append(
                    f"{row['file']} {application.words.lost(network, row)}, more than "
                    f"--max_drop={max_drop:g}"
                )
    return inexact, drops


def write_report(
    folder: pathlib.Path,
    application: Application,
    found: Mapping,
    max_drop: float,
    data: ImageData,
    facts: Mapping[str, Any],
) -> None:
    """Writes export.json and export.md.

    Args:
        folder: where they go.
        application: of the task.
        found: network's name to dict of the goal's key (of Keras; None if it is no
            network of the task), bytes (of the .keras file, or None), files (kind to
            what the task's `FileChecks` found, with its path `file`) and left_out
            (kind to reason).
        max_drop: the limit.
        data: the `hh_keras.data.ImageData`.
        facts: what else the JSON says.
    """
    inexact, drops = problems(application, found, max_drop)
    content = {
        "dataset": data.name,
        "validation_images": data.num_validation,
        "max_drop": max_drop,
        "tolerance": formats.TOLERANCE,
        "problems": inexact + drops,
        "models": found,
        **facts,
    }
    files.write(folder / "export.json", to_json(content))
    files.write(folder / "export.md", _markdown(application, content))


def table(application: Application, found: Mapping) -> str:
    """The report as lines of text."""
    head = _head(application)
    lines = text_table(head, list(_rows(application, found)), right=range(1, len(head)))
    return textwrap.indent(lines, "  ")


def _head(application):
    label = application.task.goal.label
    middle = (label, "change", application.words.likeness)
    return ("file", "size", *middle, "largest", "mean")


def _rows(application, found):
    goal, words = application.task.goal, application.words

    def score(value):
        return "" if value is None else goal.plain(value)

    for name, network in found.items():
        size = "" if network["bytes"] is None else file_size(network["bytes"])
        yield (f"{name} (Keras)", size, score(network[goal.key]), "", "", "", "")
        for row in network["files"].values():
            yield (
                row["file"],
                file_size(row["bytes"]),
                score(row[goal.key]),
                "" if row["drop"] is None else goal.plain_change(0 - row["drop"]),
                words.write_likeness(row),
                f"{row['max_abs']:.2g}",
                f"{row['mean_abs']:.2g}",
            )
        for kind in network["left_out"]:
            yield (f"{name} {kind}: left out", *[""] * 6)


def _markdown(application, content):
    head, rows = _head(application), _rows(application, content["models"])
    lines = [
        "# Exported files against their Keras models",
        "",
        f"Data: {content['dataset']}, {content['validation_images']:,} validation "
        f"images. {application.words.about}",
        "",
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    left = [
        f"- {name}, {kind}: {reason}"
        for name, network in content["models"].items()
        for kind, reason in network["left_out"].items()
    ]
    for title, found in (
        ("Do not deploy", [f"- {problem}" for problem in content["problems"]]),
        ("Trained for int8", list(_trained(content["models"]))),
        ("Left out", left),
    ):
        if found:
            lines += ["", f"## {title}", "", *found]
    return "\n".join(lines) + "\n"


def _trained(found):
    """What the training for int8 came to, and whether its file computes what it did."""
    for row in (network["files"].get("qat") for network in found.values()):
        if row is None:
            continue
        rates = [f"{epoch['accuracy']:.2%}" for epoch in row["history"]]
        like, epochs = row["simulated"], f"; {' -> '.join(rates)}" if rates else ""
        yield (
            f"- {row['file']}: {len(rates)} epochs{epochs} of the training images "
            f"right. The file and the network as it was trained name the same class "
            f"for {like['top1_agreement']:.2%} of {like['examples']} images; their "
            f"outputs differ by at most {like['relative']:.2%} of the spread."
        )
