"""Tables of results: means, spreads, paired differences with confidence intervals."""

import numpy as np
from scipy import stats

from study import plots
from study.studies import STUDIES, results_of

HEADER = (
    "| variant | runs | accuracy | sd | MACs | params | search | away | spread "
    "| against {} | 95 % |\n|---|---|---|---|---|---|---|---|---|---|---|"
)

_COMPARED = "controls", "slow", "half", "slow_half"


def summarise(folder, rows):
    """Writes `tables.md`, and pictures of every study that has runs.

    Laws with noise are left out: what they say is the fit's, see `fitting.fit`.

    Args:
        folder: where to.
        rows: the results by the runs' keys.
    """
    texts, compared = [], []
    for name, study in STUDIES.items():
        own = [
            row
            for row in results_of(name, rows)
            if not (row["run"].law and row["run"].law.noise)
        ]
        if all(row["run"].kind == "original" for row in own):
            continue
        about = " ".join(study.__doc__.split())
        parts = [f"# {name}\n\n{about}", tables(own)]
        parts += [
            across(own, budget) for budget in in_order(r["run"].budget for r in own)
        ]
        texts.append("\n\n".join(parts))
        compared += own if name in _COMPARED else []
        plots.draw_profiles(own, folder / f"{name}_channels.png")
    if compared:
        plots.draw(compared, folder / "accuracy.png")
    text = "\n\n".join(texts) + "\n"
    (folder / "tables.md").write_text(text)
    print(text)


def tables(rows):
    """One table per pair and budget, and one of the means over all pairs."""
    texts, differences = [], {}
    for place in in_order((r["run"].pair, r["run"].budget) for r in rows):
        here = [r for r in rows if (r["run"].pair, r["run"].budget) == place]
        reference = "original" if place[1] == 1 else "uniform"
        base = next((r for r in here if r["run"].variant == reference), here[0])
        lines = [f"## {place[0]}, {place[1]:g}x\n", HEADER.format(reference)]
        for variant in in_order(r["run"].variant for r in here):
            own = [r for r in here if r["run"].variant == variant]
            paired = differences_of(own, here, reference)
            lines.append(line(variant, own, paired, base))
            if variant != reference and len(paired):
                differences.setdefault((place[1], variant), {})[place[0]] = paired
        texts.append("\n".join(lines))
    return "\n\n".join([*texts, overall(differences)])


def across(rows, budget):
    """A variant a line, a pair a column: differences in points, bold where sure."""
    reference = "original" if budget == 1 else "uniform"
    rows = [r for r in rows if r["run"].budget == budget]
    pairs = in_order(r["run"].pair for r in rows)
    by_pair = {pair: [r for r in rows if r["run"].pair == pair] for pair in pairs}
    lines = [
        f"## Against {reference}, {budget:g}x\n",
        f"| variant | runs | params | {' | '.join(pairs)} | all runs |",
        "|---" * (len(pairs) + 4) + "|",
    ]
    for variant in in_order(r["run"].variant for r in rows):
        own = [r for r in rows if r["run"].variant == variant]
        cells = [variant, len(own)]
        cells.append(
            f"{np.mean([r['params'] / r['original']['params'] for r in own]):.2f}x"
        )
        each = [[r for r in own if r["run"].pair == pair] for pair in pairs]
        if variant == reference:
            means = (np.mean([r["accuracy"] for r in mine]) for mine in each)
            cells += [f"{mean:.2%}" for mean in means] + [""]
        else:
            paired = [
                differences_of(m, by_pair[p], reference) for p, m in zip(pairs, each)
            ]
            cells += [gain(d) for d in (*paired, np.concatenate(paired))]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def gain(paired):
    """A mean of paired differences with its interval; bold where that excludes 0."""
    if not len(paired):
        return ""
    low, high = interval(paired)
    if len(paired) < 3:  # an interval of two says nothing
        return f"{paired.mean():+.2f}"
    mean = f"**{paired.mean():+.2f}**" if low * high > 0 else f"{paired.mean():+.2f}"
    return f"{mean} ({low:+.2f} to {high:+.2f})"


def overall(differences):
    """What each variant gains on the mean over pairs."""
    lines = [
        "## All pairs\n",
        "Mean difference of all runs, in points of accuracy; from the original at 1x, "
        "from uniform narrowing below. Intervals of two seeds do not count.\n",
        "| budget | variant | pairs | runs | mean | 95 % over runs | pairs above 0 "
        "| their intervals above 0 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (budget, variant), by_pair in sorted(differences.items()):
        means = [np.mean(d) for d in by_pair.values()]
        sure = sum(len(d) > 2 and interval(d)[0] > 0 for d in by_pair.values())
        better = sum(m > 0 for m in means)
        every = np.concatenate(list(by_pair.values()))
        low, high = interval(every)
        lines.append(
            f"| {budget:g}x | {variant} | {len(means)} | {len(every)} | "
            f"{np.mean(every):+.2f} | {low:+.2f} to {high:+.2f} | {better} | {sure} |"
        )
    return "\n".join(lines)


def differences_of(own, here, reference):
    """Accuracy less the reference's of the same seed, in points; float `(pairs,)`."""
    base = {r["run"].seed: r["accuracy"] for r in here if r["run"].variant == reference}
    pairs = [(r["accuracy"], base.get(r["run"].seed)) for r in own]
    return np.array([100 * (a - b) for a, b in pairs if b is not None])


def interval(values, share=0.95):
    """Student's t interval of a mean; infinite for fewer than two values."""
    n = len(values)
    if n < 2:
        return -np.inf, np.inf
    half = stats.t.ppf((1 + share) / 2, n - 1) * np.std(values, ddof=1) / n**0.5
    return np.mean(values) - half, np.mean(values) + half


def line(variant, own, paired, base):
    """A row of a table."""
    accuracy = 100 * np.array([r["accuracy"] for r in own])
    spread = f"{accuracy.std(ddof=1):.2f}" if len(own) > 1 else ""
    macs, params = (
        np.mean([r[k] / r["original"][k] for r in own]) for k in ("macs", "params")
    )
    spent = [r["search_steps"] / (r["search_steps"] + r["steps"]) for r in own]
    cells = [variant, len(own), f"{accuracy.mean():.2f}", spread]
    cells += [f"{macs:.3f}", f"{params:.3f}", f"{np.mean(spent):.1%}"]
    cells += [f"{x:.2f}" if np.isfinite(x) else "" for x in distances(own, base)]
    low, high = interval(paired)
    cells.append(f"{paired.mean():+.2f}" if len(paired) else "")
    cells.append(f"{low:+.2f} to {high:+.2f}" if np.isfinite(low) else "")
    return f"| {' | '.join(str(c) for c in cells)} |"


def distances(own, base):
    """How far counts are from the reference's, and how much they differ by seed.

    Returns:
        Root mean squares over groups of log2(mean count / the reference's), and of the
        standard deviation of log2(count); 1 is a factor of 2.
    """
    names = [n for n in base["kept"] if n not in ("input", "logits")]
    counts = np.log2([[row["kept"][n] for n in names] for row in own])
    reference = np.log2([base["kept"][n] for n in names])
    away = np.sqrt(np.mean((counts.mean(0) - reference) ** 2))
    spread = np.sqrt(np.mean(counts.var(0, ddof=1))) if len(own) > 1 else np.nan
    return away, spread


def in_order(values):
    """The distinct values, in the order of their first appearance."""
    return list(dict.fromkeys(values))
