"""The whole search in one call."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from hh_keras.errors import HHError
from hh_keras.graph.cost import cost
from hh_keras.graph.left_alone import Patterns
from hh_keras.graph.opening.inline import inline
from hh_keras.progress import Verbose, shown
from hh_keras.search.result import ShrinkResult
from hh_keras.search.rounding import AUTO
from hh_keras.search.searching import Search, shrink_each
from hh_keras.search.selection import Budget


def shrink(
    model: keras.Model,
    data: Any = None,
    loss: Any = None,
    budget: Any = None,
    width: float | None = None,
    criterion: str | None = None,
    batches: int = 8,
    min_keep: Any = 0.1,
    round_to: int | str = AUTO,
    per_cost: float = 0.0,
    weights: str = "fresh",
    seed: int = 0,
    prepare: Callable | None = None,
    measure_latency: bool = True,
    input_shape: Any = None,
    calibration: Any = None,
    only: Patterns = None,
    freeze: Patterns = None,
    verbose: Verbose = "auto",
) -> ShrinkResult:
    """Widens a network, scores its channels, and shrinks it to a budget.

    Args:
        model: a model, see `hh_keras.trace`; it is not changed.
        data: iterable of `(x, y)` batches, for criteria that need it.
        loss: see `score_channels`.
        budget: a `Budget`; the default is the given model's own cost.
        width: how much to widen first; 1 shrinks the model itself. None is 1 for
            inherited weights and 2, as in the paper, for fresh ones.
        criterion, batches: see `score_channels`; None is "balanced" for fresh weights,
            which takes neither data nor loss, "obs" for inherited ones with data,
            "magnitude" of scales that `prepare` trained. The paper's is "gradient".
        min_keep, round_to, per_cost: see `select_channels`.
        weights: "fresh" starts the result anew, as the paper does; "inherit" keeps the
            values of the kept channels (of the function-preserving wide network), and,
            with data, what the removed ones carried as far as it can be told from
            those: see `hh_keras.surgery.compensation`.
        seed: the same seed gives the same plan and the same fresh weights.
        prepare: function of the wide network that returns the one to score, with the
            same channels; for criterion "magnitude", one with trained scales, see
            `hh_keras.search.sparse.train_scales`. Inherited weights are its.
        measure_latency: with a latency budget and on the table's own device, also run
            the result beside the given model, and select again with a corrected limit
            until the measured latency is the wanted one.
        input_shape: `(height, width, channels)` at which costs are counted, for a model
            that takes images of any size.
        calibration: inputs without labels, an array or batches, for "obs" and for what
            inherited weights take over; all are read. Default: `batches` of `data`.
        only, freeze: patterns of layers, groups or nested models: these alone shrink,
            or these stay as they are, see `hh_keras.leave_alone`. `plan.notes` says
            which groups were left alone.
        verbose: 0 is silent, 1 draws bars, 2 prints lines; "auto" draws bars on
            terminals and in notebooks, and prints lines in files and pipes.

    Returns:
        A `ShrinkResult`.

    Raises:
        BudgetError: no plan fits the budget.
        ModelError: the model takes any size, and `input_shape` is missing.

    Examples:
        A trained network, to half of its multiply-accumulates:

        >>> found = hh_keras.shrink(
        ...     model, budget=budget, weights="inherit", calibration=images, verbose=0
        ... )
        >>> found.cost_after.macs <= 0.5 * found.cost_before.macs
        True
        >>> found.model.save("small.keras")

        A network to be trained from scratch, of the cost of this one:

        >>> fresh = hh_keras.shrink(model).model
        >>> hh_keras.cost(fresh).macs <= hh_keras.cost(model).macs
        True

    Reference: Li et al., The Heterogeneity Hypothesis, CVPR 2021, arXiv:2006.16242.
    """
    search = Search(
        width=width,
        criterion=criterion,
        batches=batches,
        min_keep=min_keep,
        round_to=round_to,
        per_cost=per_cost,
        weights=weights,
        seed=seed,
        prepare=prepare,
        measure_latency=measure_latency,
        input_shape=input_shape,
        calibration=calibration,
        only=only,
        freeze=freeze,
    )
    with shown(verbose):
        (found,) = shrink_each(model, [budget], data, loss, search)
    return found


def sweep(
    model: keras.Model,
    data: Any = None,
    shares: Sequence[float] = (0.9, 0.8, 0.7, 0.6),
    loss: Any = None,
    verbose: Verbose = "auto",
    **settings: Any,
) -> list[ShrinkResult]:
    """Shrinks a trained network to several shares of its MACs, to choose among.

    It learns from the data once; each result is what `shrink` gives for that budget,
    `weights="inherit"` and `width=1`, and its `kept` says how much is left.

    Args:
        model, data, loss: as for `shrink`.
        shares: of the model's multiply-accumulates, each above 0 and at most 1.
        verbose: as for `shrink`.
        **settings: of `shrink`, such as `calibration`; but for budgets and weights.

    Returns:
        A `ShrinkResult` for each share, in their order.

    Raises:
        HHError: shares out of range, or no data to learn from.
        BudgetError: a share is less than floors allow; the message names it. Nothing
            has been computed then.

    Examples:
        >>> found = hh_keras.sweep(
        ...     model, calibration=images, shares=[0.8, 0.6], verbose=0
        ... )
        >>> [round(each.cost_after.macs / each.cost_before.macs, 1) for each in found]
        [0.8, 0.6]
        >>> kept = [each.kept.share for each in found]  # which of them is good enough?
    """
    given = isinstance(shares, (Sequence, np.ndarray)) and len(shares) > 0
    if not given or not all(0 < share <= 1 for share in shares):
        raise HHError(
            f"shares={shares!r}: give a list of shares of the MACs, each above 0 and "
            "at most 1."
        )
    for name in {"budget", "weights"} & set(settings):
        raise HHError(
            f"sweep: {name} is settled by shares; leave it out, or use shrink."
        )
    if data is None and settings.get("calibration") is None:
        raise HHError(
            "a sweep shows what inherited weights keep, for which it needs inputs: "
            "give calibration=images."
        )
    whole = cost(inline(model, leaves=False), settings.get("input_shape"))
    budgets = [Budget(share * whole.macs, whole.params) for share in shares]
    search = Search(weights="inherit", **settings)
    with shown(verbose):
        return shrink_each(model, budgets, data, loss, search)
