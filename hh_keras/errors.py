"""Errors a user can cause; their text names the culprit and the remedy.

The commands print them without a traceback.
"""


class HHError(ValueError):
    """Base of every error that bad input can cause."""


class ModelError(HHError):
    """A model that cannot be read: unbuilt, subclassed, or a corrupt file."""


class PlanError(HHError):
    """A plan that is corrupt, or was made for another model."""


class BudgetError(HHError):
    """No plan fits the budget; the text gives the smallest reachable cost."""


class LatencyError(HHError):
    """A latency table that is corrupt, or lacks what a network needs."""


class DataError(HHError):
    """Data that cannot be used: missing, unreadable, empty or mislabelled."""


class SearchError(HHError):
    """A search that cannot go on, for instance because the loss is NaN."""


class Stopped(HHError):
    """A training that was asked to stop and has saved what it had."""


class WorkdirError(HHError):
    """A work directory that cannot be written or belongs to another run."""
