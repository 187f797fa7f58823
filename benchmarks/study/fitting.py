"""A law of channel counts, fitted to runs of random laws.

Accuracy, in standard deviations over the laws of a pair, is taken as a quadratic
function of a law's three numbers, the same for all pairs but for a constant (networks
differ in how much they can gain), and of the multiply-accumulates that are used: laws
that run out of parameters first leave some. What a law leaves is known before it is
trained, so the best law is the top of both together. Times are told in the same way.
Resampling the runs says how sure the best law is.
"""

import numpy as np

from study.runs import Law

BOUNDS = ((-0.25, 1.0), (-0.6, 0.6), (-1.2, 1.2))
"""Of alpha, beta and gamma, as they were drawn."""
_RIDGE, _RESAMPLED = 1e-2, 200


def grid(steps=(11, 9, 9)):
    """Laws to choose from, float `(laws, 3)`."""
    axes = [np.linspace(low, high, n) for (low, high), n in zip(BOUNDS, steps)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def terms(laws):
    """What the quadratic function is a sum of but for its constant, `(laws, 9)`."""
    x = np.array(laws, float)
    middle, half = np.mean(BOUNDS, 1), np.ptp(BOUNDS, 1) / 2
    a, b, c = ((x - middle) / half).T
    return np.stack([a, b, c, a * a, b * b, c * c, a * b, a * c, b * c], 1)


def surface(design, values, pairs):
    """Weights of a design's columns, the same for all pairs, each of which has a
    constant of its own; by least squares with a small ridge.

    Args:
        design: float `(runs, columns)`.
        values: what is told, `(runs,)`.
        pairs: name of each run's pair, an array.
    """
    own = pairs[:, None] == np.unique(pairs)
    columns = design.shape[1]
    guard = np.sqrt(_RIDGE * len(values)) * np.eye(columns, columns + own.shape[1])
    rows = np.concatenate([np.concatenate([design, own], 1), guard])
    wanted = np.concatenate([values, np.zeros(columns)])
    return np.linalg.lstsq(rows, wanted, rcond=None)[0][:columns]


def fit(runs, candidates, used, times=None):
    """The best law of runs, and how far resampled runs move it.

    Args:
        runs: rows of results whose `run` is a `Run`: of laws, and of originals.
        candidates: float `(laws, 3)`, see `grid`.
        used: the share of the multiply-accumulates that each uses, the mean of the
            logarithms over pairs, `(laws,)`.
        times: the time of a run's network over its original's, by the run's key.

    Returns:
        A dict: law (a `Law`), low and high (10th and 90th percentile of its numbers),
        correlation of told and measured gains within each pair, runs; with times also
        in_time, the best of those that are told to be no slower than the original.
    """
    originals = {}
    for row in runs:
        if row["run"].kind == "original":
            originals.setdefault(row["run"].pair, []).append(row["accuracy"])
    rows = [r for r in runs if r["run"].kind == "law" and r["run"].pair in originals]
    pairs = np.array([r["run"].pair for r in rows])
    gains = np.array(
        [100 * (r["accuracy"] - np.mean(originals[r["run"].pair])) for r in rows]
    )
    for pair in np.unique(pairs):
        gains[pairs == pair] /= gains[pairs == pair].std() + 1e-9
    spent = np.log([r["macs"] / r["original"]["macs"] for r in rows])
    design = np.concatenate([terms(_numbers(rows)), spent[:, None]], 1)
    choices = np.concatenate([terms(candidates), used[:, None]], 1)
    weights = surface(design, gains, pairs)
    rng = np.random.default_rng(0)
    tops = []
    for _ in range(_RESAMPLED):
        k = rng.integers(len(rows), size=len(rows))
        tops.append(
            candidates[(choices @ surface(design[k], gains[k], pairs[k])).argmax()]
        )
    told = design @ weights
    found = {
        "law": _law(candidates[(choices @ weights).argmax()]),
        "low": np.percentile(tops, 10, 0).round(2).tolist(),
        "high": np.percentile(tops, 90, 0).round(2).tolist(),
        "correlation": {
            p: round(float(np.corrcoef(told[pairs == p], gains[pairs == p])[0, 1]), 2)
            for p in np.unique(pairs).tolist()
        },
        "runs": len(rows),
    }
    if times:
        own = np.array([row["key"] in times for row in rows])
        values = np.log([times[row["key"]] for row in rows if row["key"] in times])
        slow = _slowness(design[own], values, pairs[own], choices)
        found["in_time"] = _law(
            candidates[np.where(slow <= 0, choices @ weights, -np.inf).argmax()]
        )
    return found


def _slowness(design, values, pairs, choices):
    """The logarithm of the time over the original's that is told of each choice."""
    weights = surface(design, values, pairs)
    rest = values - design @ weights
    return choices @ weights + np.mean([rest[pairs == p].mean() for p in set(pairs)])


def _numbers(rows):
    laws = [row["run"].law for row in rows]
    return [(law.alpha, law.beta, law.gamma) for law in laws]


def _law(numbers):
    return Law(*map(float, np.round(numbers, 2)))
