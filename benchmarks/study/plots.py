"""Pictures of results."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

COLOURS = plt.get_cmap("tab10").colors


def draw(rows, path):
    """Accuracy against MACs: one picture per pair, bars of one standard error."""
    pairs = _in_order(r["run"].pair for r in rows)
    variants = _in_order(r["run"].variant for r in rows)
    figure, axes = _grid(len(pairs), 3.2)
    for axis, pair in zip(axes, pairs):
        for k, variant in enumerate(variants):
            for budget in _in_order(r["run"].budget for r in rows):
                own = [
                    r
                    for r in rows
                    if (r["run"].pair, r["run"].variant) == (pair, variant)
                    and r["run"].budget == budget
                ]
                if own:
                    _point(axis, own, k)
        axis.set_title(pair, fontsize=9)
        budgets = {r["run"].budget for r in rows if r["run"].pair == pair}
        axis.set_xticks([100 * budget for budget in sorted(budgets)])
        axis.set_xlabel("MACs, % of the original's")
        axis.set_ylabel("accuracy, %")
    _legend(figure, axes[0], variants)
    figure.savefig(path, dpi=65)
    plt.close(figure)


def _point(axis, own, k):
    accuracy = 100 * np.array([r["accuracy"] for r in own])
    macs = 100 * np.mean([r["macs"] / r["original"]["macs"] for r in own])
    error = accuracy.std(ddof=1) / len(own) ** 0.5 if len(own) > 1 else 0
    # Points at one budget would hide each other.
    macs += 0.8 * (k - 2)
    style = {"color": COLOURS[k % 10], "capsize": 3, "marker": "o", "markersize": 4}
    axis.errorbar(macs, accuracy.mean(), error, **style)


def draw_profiles(rows, path):
    """Channels of every group over the reference's, means over seeds, at one budget.

    The reference is the original, below its cost the evenly narrowed network.
    """
    pairs = _in_order(r["run"].pair for r in rows)
    budget = max(r["run"].budget for r in rows)
    reference = "original" if budget == 1 else "uniform"
    kinds = (reference, "lwdna", "law")
    rows = [r for r in rows if r["run"].kind in kinds and r["run"].budget == budget]
    variants = _in_order(r["run"].variant for r in rows)
    figure, axes = _grid(len(pairs), 4.2)
    for axis, pair in zip(axes, pairs):
        here = [r for r in rows if r["run"].pair == pair]
        bases = [r["kept"] for r in here if r["run"].kind == reference]
        if not bases:
            continue
        names = [n for n in bases[0] if n not in ("input", "logits")]
        for k, variant in enumerate(variants):
            kept = [r["kept"] for r in here if r["run"].variant == variant]
            if kept:
                ratios = [np.mean([s[n] for s in kept]) / bases[0][n] for n in names]
                axis.plot(ratios, "o-", color=COLOURS[k % 10], ms=3, lw=1)
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=5)
        axis.set_title(pair, fontsize=9)
        axis.set_ylabel(f"channels / {reference}")
        axis.set_yscale("log", base=2)
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, 0.45), max(high, 2.2))
        axis.set_yticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
    _legend(figure, axes[0], variants)
    figure.savefig(path, dpi=65)
    plt.close(figure)


def _grid(count, height):
    columns = min(count, 3)
    lines = -(-count // columns)
    size = (4 * columns, height * lines + 1)
    figure, axes = plt.subplots(
        lines, columns, figsize=size, layout="constrained", squeeze=False
    )
    for axis in axes.flat[count:]:
        axis.set_axis_off()
    return figure, axes.flat


def _legend(figure, axis, variants):
    for k, variant in enumerate(variants):
        axis.plot([], [], "o-", color=COLOURS[k % 10], ms=4, label=variant)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, fontsize=7, frameon=False
    )


def _in_order(values):
    return list(dict.fromkeys(values))
