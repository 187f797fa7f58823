"""Training: one recipe, the same for every network compared."""

from hh_keras.training.fit import Trained, train
from hh_keras.training.optimizers import (
    CoupledAdam,
    CoupledSGD,
    RecipeSchedule,
    optimizer,
)
from hh_keras.training.recipes import SCHEDULES, Recipe
from hh_keras.training.recovery import RECOVERY, recover
from hh_keras.training.strategy import strategy
from hh_keras.training.task import Task

__all__ = [
    "RECOVERY",
    "SCHEDULES",
    "CoupledAdam",
    "CoupledSGD",
    "Recipe",
    "RecipeSchedule",
    "Task",
    "Trained",
    "optimizer",
    "recover",
    "strategy",
    "train",
]
