"""Errors a user can cause; their text names the culprit and the remedy.

The commands print them without a traceback.
"""


class HHError(ValueError):
    """Base of every error that bad input can cause.

    Examples:
        >>> try:
        ...     hh_keras.widen(model, 0.5)
        ... except hh_keras.HHError as error:
        ...     print(error)
        widen: factor must be at least 1, got 0.5.
    """


class ModelError(HHError):
    """A model that cannot be read: unbuilt, subclassed, or a corrupt file.

    Examples:
        >>> hh_keras.models.build("resnet21", (32, 32, 3), 10)
        Traceback (most recent call last):
        hh_keras.errors.ModelError: Unknown model 'resnet21'. Did you mean ...
    """


class PlanError(HHError):
    """A plan that is corrupt, or was made for another model.

    Examples:
        >>> hh_keras.rebuild(small, plan)
        Traceback (most recent call last):
        hh_keras.errors.PlanError: the plan is for another model: group ...
    """


class BudgetError(HHError):
    """No plan fits the budget; the text gives the smallest reachable cost.

    Examples:
        >>> hh_keras.select_channels(channels, scores, hh_keras.Budget(macs=10))
        Traceback (most recent call last):
        hh_keras.errors.BudgetError: no plan fits 10 MACs: the smallest ...
    """


class LatencyError(HHError):
    """A latency table that is corrupt, or lacks what a network needs."""


class DataError(HHError):
    """Data that cannot be used: missing, unreadable, empty or mislabelled.

    Examples:
        >>> hh_keras.data.load("no/such/folder")
        Traceback (most recent call last):
        hh_keras.errors.DataError: unknown data set 'no/such/folder': there ...
    """


class SearchError(HHError):
    """A search that cannot go on, for instance because the loss is NaN.

    Examples:
        >>> hh_keras.score_channels(model, [], loss)
        Traceback (most recent call last):
        hh_keras.errors.SearchError: the search data is empty: no batch to ...
    """


class Stopped(HHError):
    """A training that was asked to stop and has saved what it had."""


class WorkdirError(HHError):
    """A work directory that cannot be written or belongs to another run.

    Examples:
        >>> open("file", "w").close()
        >>> hh_keras.report.write_report("file", results, goal)
        Traceback (most recent call last):
        hh_keras.errors.WorkdirError: cannot write file/pictures/summary.png: ...
    """
