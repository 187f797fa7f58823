"""A law of channel counts, fitted to runs of random laws.

Accuracy, in standard deviations over the laws of a pair, is taken as a quadratic
function of a law's three numbers, the same for all pairs but for a constant: networks
differ in how much they can gain. Resampling the runs says how sure the best law is.
"""

import numpy as np

from study.runs import Law

BOUNDS = ((-0.25, 1.0), (-0.6, 0.6), (-1.2, 1.2))
"""Of alpha, beta and gamma, as they were drawn."""
_RIDGE, _RESAMPLED, _GRID = 1e-2, 200, 14


def terms(laws):
    """What the quadratic function is a sum of, `(laws, 10)`."""
    x = np.array(laws, float)
    middle, half = np.mean(BOUNDS, 1), np.ptp(BOUNDS, 1) / 2
    a, b, c = ((x - middle) / half).T
    return np.stack(
        [np.ones(len(x)), a, b, c, a * a, b * b, c * c, a * b, a * c, b * c], 1
    )


def surface(laws, gains, pairs):
    """The function's weights but for its constants, float `(9,)`.

    Args:
        laws: float `(runs, 3)`.
        gains: points of accuracy ahead of the pair's original, `(runs,)`.
        pairs: name of each run's pair, an array.
    """
    own = pairs[:, None] == np.unique(pairs)
    mine = own.argmax(1)
    spread = np.array([gains[o].std() + 1e-9 for o in own.T])
    design = np.concatenate([terms(laws)[:, 1:], own], 1)
    guard = np.sqrt(_RIDGE * len(gains)) * np.eye(9, design.shape[1])
    wanted = np.concatenate([gains / spread[mine], np.zeros(9)])
    return np.linalg.lstsq(np.concatenate([design, guard]), wanted, rcond=None)[0][:9]


def best(weights):
    """The law at the top of the surface within the bounds, float `(3,)`."""
    axes = [np.linspace(low, high, _GRID + 1) for low, high in BOUNDS]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    return grid[(terms(grid)[:, 1:] @ weights).argmax()]


def fit(runs):
    """The best law of runs, and how far resampled runs move it.

    Args:
        runs: rows of results whose `run` is a `Run`: of laws, and of originals.

    Returns:
        A dict: law (a `Law`), low and high (10th and 90th percentile of its numbers),
        correlation of told and measured gains within each pair, runs.
    """
    originals = {}
    for row in runs:
        if row["run"].kind == "original":
            originals.setdefault(row["run"].pair, []).append(row["accuracy"])
    rows = [r for r in runs if r["run"].kind == "law" and r["run"].pair in originals]
    laws = [(r["run"].law.alpha, r["run"].law.beta, r["run"].law.gamma) for r in rows]
    pairs = np.array([r["run"].pair for r in rows])
    base = np.array([np.mean(originals[p]) for p in pairs])
    gains = 100 * (np.array([r["accuracy"] for r in rows]) - base)
    laws = np.array(laws)
    weights = surface(laws, gains, pairs)
    rng = np.random.default_rng(0)
    tops = []
    for _ in range(_RESAMPLED):
        chosen = rng.integers(len(rows), size=len(rows))
        tops.append(best(surface(laws[chosen], gains[chosen], pairs[chosen])))
    told = terms(laws)[:, 1:] @ weights
    return {
        "law": Law(*map(float, best(weights).round(2))),
        "low": np.percentile(tops, 10, 0).round(2).tolist(),
        "high": np.percentile(tops, 90, 0).round(2).tolist(),
        "correlation": {
            p: round(float(np.corrcoef(told[pairs == p], gains[pairs == p])[0, 1]), 2)
            for p in np.unique(pairs).tolist()
        },
        "runs": len(rows),
    }
