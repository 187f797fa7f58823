"""A ViT and a ConvNeXt made smaller: what was aimed at, and what was measured.

    python benchmarks/trained_targets.py

Reads `results/trained.jsonl` and `results/trained_latency.jsonl` and writes
`results/trained_attention.md`: losses of top-1 in points by share of the MACs, one for
each seed, the peer's by the way that is best there on the tests; and the targets.
"""

import json
import pathlib

RESULTS = pathlib.Path(__file__).parent / "results"
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)
NETWORKS = {"vit": "ViT", "convnext": "ConvNeXt"}
OURS, PEER, MINUTES = "hh_keras", "Torch-Pruning", ", 10 minutes"
NONE = "not measured"


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def seeds_of(rows, kind):
    """Seed → its rows, of one network."""
    found = {}
    for row in rows:
        parts = row["network"].split("_")
        if parts[0] == kind and parts[-1] == "cifar10":
            found.setdefault(int(parts[1]), []).append(row)
    return dict(sorted(found.items()))


def best(rows, chosen):
    """Share → the greatest top-1 of the methods that are chosen."""
    found = {}
    for row in rows:
        if chosen(row["method"]):
            found[row["share"]] = max(row["top1"], found.get(row["share"], 0.0))
    return found


def curves(rows):
    """Line of the table → share → top-1."""
    alone = [r["method"] for r in rows if r["method"].endswith(" alone")]
    ours = [OURS, f"{OURS}, rounded", *[m for m in alone if m.startswith(OURS)]]
    lines = {m: best(rows, m.__eq__) for m in dict.fromkeys(ours)}

    def peer(minutes, of=""):
        return lambda m: (
            m.startswith(PEER) and m.endswith(MINUTES) == minutes and of in m
        )

    lines[PEER] = best(rows, peer(False))
    lines[f"{PEER}, hidden alone"] = best(rows, peer(False, "hidden alone"))
    lines[OURS + MINUTES] = best(rows, (OURS + MINUTES).__eq__)
    lines[PEER + MINUTES] = best(rows, peer(True))
    return {method: line for method, line in lines.items() if line}


def losses(kind, rows):
    """The table of one network: points lost, of each seed."""
    seeds = seeds_of(rows, kind)
    if not seeds:
        return []
    full = {seed: best(own, "original".__eq__)[1.0] for seed, own in seeds.items()}
    known = {seed: curves(own) for seed, own in seeds.items()}
    title = ", ".join(f"{100 * top1:.1f} %" for top1 in full.values())
    lines = [
        f"| {NETWORKS[kind]}, {title} | " + " | ".join(f"{s}x" for s in SHARES) + " |",
        "|---" * (len(SHARES) + 1) + "|",
    ]
    for method in dict.fromkeys(m for found in known.values() for m in found):
        cells = []
        for share in SHARES:
            each = [
                f"{100 * (full[seed] - found[method][share]):.1f}"
                for seed, found in known.items()
                if share in found.get(method, {})
            ]
            cells.append(", ".join(each))
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def ahead(rows, ours, peer):
    """Points that the first is ahead of the second by, least and where."""
    found = []
    for kind in NETWORKS:
        for seed, own in seeds_of(rows, kind).items():
            lines = curves(own)
            mine, its = lines.get(ours, {}), lines.get(peer, {})
            for share in mine.keys() & its.keys():
                points = 100 * (mine[share] - its[share])
                found.append((points, f"{NETWORKS[kind]}, seed {seed}, {share}x"))
    if not found:
        return NONE
    points, where = min(found)
    return f"{points:+.1f} points where it is least ({where}), of {len(found)} budgets"


def recovered(rows):
    """Points lost at 0.7x after ten minutes, of all networks and seeds."""
    found = []
    for kind in NETWORKS:
        for own in seeds_of(rows, kind).values():
            top1 = curves(own).get(OURS + MINUTES, {}).get(0.7)
            if top1 is not None:
                loss = 100 * (best(own, "original".__eq__)[1.0] - top1)
                found.append(f"{NETWORKS[kind]} {loss:.1f}")
    return ", ".join(found) or NONE


def fallen(times):
    """How much of the share that the MACs fell by latency fell by, least and where."""
    found = [
        ((1 - row["ratio"]) / (1 - row["macs"]), f"{row['network']}, {row['share']}x")
        for row in times
        if row["network"].split("_")[0] in NETWORKS and row["macs"] < 1
    ]
    if not found:
        return NONE
    part, where = min(found)
    return f"{part:.2f} of it where it is least ({where}), of {len(found)} networks"


def targets(rows, times):
    lines = {
        f"ahead of {PEER}, no training": ahead(rows, OURS, PEER),
        "... after ten minutes": ahead(rows, OURS + MINUTES, PEER + MINUTES),
        "at 0.7x after ten minutes at most 2 points below": recovered(rows),
        "latency falls at least half as much as the MACs": fallen(times),
    }
    head = ["| aimed at | measured |", "|---|---|"]
    return [*head, *[f"| {aim} | {found} |" for aim, found in lines.items()], ""]


def main():
    rows = rows_of(RESULTS / "trained.jsonl")
    times = rows_of(RESULTS / "trained_latency.jsonl")
    lines = targets(rows, times)
    for kind in NETWORKS:
        lines += losses(kind, rows)
    path = RESULTS / "trained_attention.md"
    path.write_text("\n".join(lines))
    print(path.read_text())


if __name__ == "__main__":
    main()
