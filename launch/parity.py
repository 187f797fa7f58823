"""The parity report: every exported file beside the network it came from."""

from hh_keras import files
from launch import exports, steps

_HEAD = ("file", "size", "accuracy", "change", "same class", "largest", "mean")


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
                    f"{row['file']} classifies {row['accuracy']:.2%} right, the Keras "
                    f"model {network['accuracy']:.2%}: it loses {row['drop']:.4g}, "
                    f"more than --max_drop={max_drop:g}"
                )
    return inexact, drops


def write_report(folder, found, max_drop, data, facts):
    """Writes export.json and export.md.

    Args:
        folder: where they go.
        found: network's name to dict of accuracy (of Keras, None if it is no
            classifier of the data), bytes (of the .keras file, or None), files (kind to
            what `launch.exports.compare` found, with its path `file`) and left_out
            (kind to reason).
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
    rows = [_HEAD, *_rows(found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    return "\n".join(
        "  " + row[0].ljust(widths[0])
        + "".join("  " + cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))
        for row in rows
    )  # fmt: skip


def _rows(found):
    for name, network in found.items():
        size = _bytes(network["bytes"])
        yield (f"{name} (Keras)", size, _share(network["accuracy"]), "", "", "", "")
        for row in network["files"].values():
            change = (
                "" if row["drop"] is None else f"{0 - 100 * row['drop']:+.2f} points"
            )
            yield (
                row["file"],
                _bytes(row["bytes"]),
                _share(row["accuracy"]),
                change,
                f"{row['top1_agreement']:.2%}",
                f"{row['max_abs']:.2g}",
                f"{row['mean_abs']:.2g}",
            )
        for kind in network["left_out"]:
            yield (f"{name} {kind}: left out", *[""] * (len(_HEAD) - 1))


def _share(value):
    return "" if value is None else f"{value:.2%}"


def _bytes(count):
    return "" if count is None else steps.millions(count) + "B"


def _markdown(content):
    lines = [
        "# Exported files against their Keras models",
        "",
        f"Data: {content['dataset']}, {content['validation_images']:,} validation "
        "images. `change`: of accuracy, in percentage points. `same class`: how often "
        "file and Keras name the same class. `largest` and `mean`: difference of any "
        "output to Keras's.",
        "",
        "| " + " | ".join(_HEAD) + " |",
        "|---|" + "---:|" * (len(_HEAD) - 1),
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
