"""What a network is for: the loss, the metrics and the checks of a task."""

from hh_keras.training.task import Task

__all__ = ["Task"]
