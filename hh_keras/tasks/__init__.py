"""What a network is for: the loss, the metrics and the checks of a task."""

from hh_keras.tasks.task import Task

__all__ = ["Task"]
