"""Least squares on second moments: what of some channels the others can tell.

With `C = E[x xᵀ]` and `P = (C + Λ)⁻¹`, the weights that minimise
`E‖W x − W' x_S‖² + ‖W' − W_S‖²_Λ` over the channels `S` that stay are
`W_S − P_SR P_RR⁻¹ W_R`, and what is lost is `W_Rᵀ P_RR⁻¹ W_R` (Hassibi and Stork,
Optimal Brain Surgeon, 1992, with channels for weights).
"""

import numpy as np

RIDGES = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
_ONES = 1e-9  # the mean is not drawn to anything


def inverse(moment: np.ndarray, ridge: float, ones: bool = True) -> np.ndarray:
    """`(C + Λ)⁻¹`.

    Args:
        moment: float `(n, n)`.
        ridge: Λ, in parts of the mean of the channels' second moments.
        ones: whether the last row and column are of the ones, whose Λ is 0.

    Returns:
        float `(n, n)`.
    """
    size = len(moment) - ones
    scale = max(float(np.diag(moment)[:size].mean()), 1e-30)
    added = np.full(len(moment), ridge * scale)
    added[size:] = _ONES
    return np.linalg.inv(moment + np.diag(added))


def remove(
    inverse: np.ndarray, weights: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Takes rows out, the others taking over what they can.

    Args:
        inverse: float `(n, n)`, see above.
        weights: float `(n, columns)`.
        rows: which to take out.

    Returns:
        `(inverse, weights)` of the same shapes; what was taken out is 0.
    """
    across = inverse[:, rows]
    within = np.linalg.inv(inverse[np.ix_(rows, rows)])
    share = across @ within
    weights = weights - share @ weights[rows]
    inverse = inverse - share @ across.T
    weights[rows] = 0
    inverse[rows] = inverse[:, rows] = 0
    return inverse, weights


def best_ridge(
    halves: np.ndarray, removed: np.ndarray, importance: np.ndarray, ones: bool = True
) -> tuple[float, float]:
    """The ridge with which each half of the data tells most of the other.

    Args:
        halves: float `(2, n, n)`, moments.
        removed: bool `(n,)`, the rows to be told of.
        importance: float `(removed, removed)`, how much errors matter: `W_R W_Rᵀ`.
        ones: whether the last row is that of the ones.

    Returns:
        `(ridge, optimism)`: one of `RIDGES`, infinity if none is better than to
        predict nothing; and how many times what is lost on the other half what is
        lost by the formula above, at least 1.
    """
    errors, promised = np.zeros(len(RIDGES)), np.zeros(len(RIDGES))
    nothing = 0.0
    size = halves.shape[1] - ones
    gone, kept = removed[:size], ~removed[:size]
    for one, other in (halves, halves[::-1]):
        # Both about the mean of the half that is learnt from: `(size, size)`.
        mean = one[-1, :size] if ones else np.zeros(size)
        learnt, tested = _about(one, mean, ones), _about(other, mean, ones)
        about_zero = _about(other, 0 * mean, ones)
        nothing += _weighed(importance, about_zero[np.ix_(gone, gone)])
        scale = max(float(np.diag(one)[:size].mean()), 1e-30)
        lost, by_formula = _losses(learnt, tested, kept, gone, importance, scale)
        errors += lost
        promised += by_formula
    best = int(errors.argmin())
    if errors[best] >= nothing:
        return float("inf"), 1.0
    return RIDGES[best], max(1.0, float(errors[best] / max(promised[best], 1e-30)))


def _losses(learnt, tested, kept, gone, importance, scale):
    """What is lost with each of `RIDGES`: on the other half, and by the formula.

    In the eigenvectors `V` of `C_KK = V diag(values) Vᵀ` the channels `K` that stay
    tell of those that go, `G`, by `T = diag(share) Vᵀ C_KG`, `share` being
    `1 / (values + ridge)`. With `S` the moments of the other half, what is lost there
    is the trace of `importance (S_GG − 2 Tᵀ Vᵀ S_KG + Tᵀ Vᵀ S_KK V T)`, a polynomial
    in `share` whose coefficients are the same for all ridges.
    """
    kk, kg, gg = (np.ix_(*pair) for pair in ((kept, kept), (kept, gone), (gone, gone)))
    values, vectors = np.linalg.eigh(learnt[kk])  # (kept,), (kept, kept)
    across = vectors.T @ learnt[kg]  # (kept, gone)
    weighed = across @ importance  # (kept, gone)
    constant = _weighed(importance, tested[gg])
    linear = (weighed * (vectors.T @ tested[kg])).sum(1)  # (kept,)
    square = (vectors.T @ tested[kk] @ vectors) * (weighed @ across.T)  # (kept, kept)
    own = _weighed(importance, learnt[gg])
    told = (weighed * across).sum(1)  # (kept,)
    total = float(np.trace(importance))
    lost, by_formula = np.zeros(len(RIDGES)), np.zeros(len(RIDGES))
    for k, ridge in enumerate(RIDGES):
        share = 1 / (np.maximum(values, 0) + ridge * scale)  # (kept,)
        lost[k] = constant - 2 * share @ linear + share @ square @ share
        by_formula[k] = own + ridge * scale * total - share @ told
    return lost, by_formula


def _weighed(importance, moment):
    return float((importance * moment).sum())


def refit(
    weights: np.ndarray,
    start: np.ndarray,
    across: np.ndarray,
    own: np.ndarray,
    counts: np.ndarray,
    ones: bool = True,
) -> np.ndarray:
    """Weights that make of other inputs `z` what `W` makes of `x`.

    `E‖Wᵀx − Vᵀz‖² + ‖V − V₀‖²_Λ` is least at `V = V₀ + (E[z zᵀ] + Λ)⁻¹ (E[z xᵀ] W −
    E[z zᵀ] V₀)`. Λ is that of `RIDGES` with which each half of the data tells most of
    the other; if none tells anything, `V₀` stays, but for the constant.

    Args:
        weights: `W`, float `(n, columns)`.
        start: `V₀`, float `(m, columns)`.
        across: `E[x zᵀ]` of both halves, the last row and column of ones, float
            `(2, n + 1, m + 1)`.
        own: `E[z zᵀ]`, float `(2, m + 1, m + 1)`.
        counts: how many each half is of, `(2,)`.
        ones: whether there is a place for a constant.

    Returns:
        `V`, float `(m, columns)`, or `(m + 1, columns)` with the constant.
    """
    share = counts / counts.sum()
    means = (
        np.tensordot(share, across, 1)[:-1, -1],
        np.tensordot(share, own, 1)[-1, :-1],
    )
    x, z = means if ones else (0 * means[0], 0 * means[1])
    own = np.stack([_between(each, z, z) for each in own])
    across = np.stack([_between(each, x, z) for each in across])
    missing = across.transpose(0, 2, 1) @ weights - own @ start
    errors = np.zeros(len(RIDGES))
    for a in (0, 1):
        values, vectors, scale = _spectrum(own[a])
        wanted, unseen = vectors.T @ missing[a], vectors.T @ missing[1 - a]
        square = (vectors.T @ own[1 - a] @ vectors) * (wanted @ wanted.T)
        linear = (wanted * unseen).sum(1)
        for k, ridge in enumerate(RIDGES):
            part = 1 / (values + ridge * scale)
            errors[k] += part @ square @ part - 2 * part @ linear
    found = start
    if errors.min() < 0:
        values, vectors, scale = _spectrum(np.tensordot(share, own, 1))
        part = 1 / (values + RIDGES[int(errors.argmin())] * scale)
        wanted = vectors.T @ np.tensordot(share, missing, 1)
        found = start + vectors @ (part[:, None] * wanted)
    return np.vstack([found, x @ weights - z @ found]) if ones else found


def _between(moment, x, z):
    """`E[(x − a) (z − b)ᵀ]` of the moments of `x` and `z`, with ones."""
    inner, of_x, of_z = moment[:-1, :-1], moment[:-1, -1], moment[-1, :-1]
    return inner - np.outer(x, of_z) - np.outer(of_x, z) + np.outer(x, z)


def _spectrum(moment):
    values, vectors = np.linalg.eigh(moment)
    return np.maximum(values, 0), vectors, max(float(np.diag(moment).mean()), 1e-30)


def _about(moment, mean, ones):
    """Second moments about a point instead of about zero, without the ones."""
    return _between(moment, mean, mean) if ones else moment
