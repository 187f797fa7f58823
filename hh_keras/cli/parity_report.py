"""The parity report: every exported file beside the network it came from."""

import textwrap

from hh_keras import files
from hh_keras.cli import search as steps
from hh_keras.export import formats as exports
from hh_keras.graph.table import text_table

_HEADS = {
    "accuracy": (
        "file", "size", "accuracy", "change", "same class", "largest", "mean",
    ),
    "psnr": ("file", "size", "PSNR", "change", "to Keras", "largest", "mean"),
}  # fmt: skip
_ABOUT = {
    "accuracy": "`change`: of accuracy, in percentage points. `same class`: how often "
    "file and Keras name the same class. `largest` and `mean`: difference of any "
    "output to Keras's.",
    "psnr": "`PSNR`: of the restored validation images, `change`: of it. `to Keras`: "
    "PSNR of the file's pixels against Keras's, on tiles. `largest` and `mean`: "
    "difference of any pixel to Keras's.",
}


def _goal(found):
    """What networks are measured by: "accuracy" or "psnr"."""
    return next(name for name in _HEADS if all(name in each for each in found.values()))


def problems(found, max_drop):
    """What keeps files from being deployed.

    Args:
        found: network to what was found, see `write_report`.
        max_drop: the accuracy that a rounded file may lose.

    Returns:
        `(inexact, drops)`: two lists of messages.
    """
    inexact, drops = [], []
    for network in found.values():
        for kind, row in network["files"].items():
            if kind in exports.EXACT:
                inexact += filter(None, [exports.inexact(row["file"], row)])
            elif row["drop"] is not None and row["drop"] > max_drop + 1e-9:
                drops.append(
                    f"{row['file']} {_lost(network, row)}, more than "
                    f"--max_drop={max_drop:g}"
                )
    return inexact, drops


def _lost(network, row):
    if "psnr" in row:
        return (
            f"restores to {row['psnr']:.2f} dB, the Keras model to "
            f"{network['psnr']:.2f} dB: it loses {row['drop']:.2f} dB"
        )
    return (
        f"classifies {row['accuracy']:.2%} right, the Keras model "
        f"{network['accuracy']:.2%}: it loses {row['drop']:.4g}"
    )


def write_report(folder, found, max_drop, data, facts):
    """Writes export.json and export.md.

    Args:
        folder: where they go.
        found: network's name to dict of accuracy (of Keras, None if it is no
            classifier of the data; psnr of a network that restores images), bytes (of
            the .keras file, or None), files (kind to what `launch.exports.compare` or
            `launch.tiles.compare` found, with its path `file`) and left_out (kind to
            reason).
        max_drop: the limit.
        data: the `hh_keras.data.ImageData`.
        facts: what else the JSON says.
    """
    inexact, drops = problems(found, max_drop)
    content = {
        "dataset": data.name,
        "validation_images": data.num_validation,
        "max_drop": max_drop,
        "tolerance": exports.TOLERANCE,
        "problems": inexact + drops,
        "models": found,
        **facts,
    }
    files.write(folder / "export.json", steps.to_json(content))
    files.write(folder / "export.md", _markdown(content))


def table(found):
    """The report as lines of text."""
    head = _HEADS[_goal(found)]
    lines = text_table(head, list(_rows(found)), right=range(1, len(head)))
    return textwrap.indent(lines, "  ")


def _rows(found):
    goal = _goal(found)
    write = {"accuracy": _share, "psnr": _decibels}[goal]
    for name, network in found.items():
        size = _bytes(network["bytes"])
        yield (f"{name} (Keras)", size, write(network[goal]), "", "", "", "")
        for row in network["files"].values():
            yield (
                row["file"],
                _bytes(row["bytes"]),
                write(row[goal]),
                *_against_keras(row),
                f"{row['max_abs']:.2g}",
                f"{row['mean_abs']:.2g}",
            )
        for kind in network["left_out"]:
            yield (f"{name} {kind}: left out", *[""] * (len(_HEADS[goal]) - 1))


def _against_keras(row):
    """The change, and how alike the outputs are."""
    if "psnr" in row:
        change = round(0 - row["drop"], 2) + 0.0  # never -0.00
        return f"{change:+.2f} dB", f"{row['psnr_to_keras']:.1f} dB"
    change = "" if row["drop"] is None else f"{0 - 100 * row['drop']:+.2f} points"
    return change, f"{row['top1_agreement']:.2%}"


def _share(value):
    return "" if value is None else f"{value:.2%}"


def _decibels(value):
    return "" if value is None else f"{value:.2f} dB"


def _bytes(count):
    return "" if count is None else steps.millions(count) + "B"


def _markdown(content):
    goal = _goal(content["models"])
    head = _HEADS[goal]
    lines = [
        "# Exported files against their Keras models",
        "",
        f"Data: {content['dataset']}, {content['validation_images']:,} validation "
        f"images. {_ABOUT[goal]}",
        "",
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 1),
        *("| " + " | ".join(row) + " |" for row in _rows(content["models"])),
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
