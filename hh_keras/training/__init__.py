"""Training and evaluation: one recipe, the same for every network compared."""

from hh_keras.tasks.classification.evaluation import confusion, evaluate, score_outputs
from hh_keras.training.fit import Trained, train
from hh_keras.training.optimizers import (
    CoupledAdam,
    CoupledSGD,
    RecipeSchedule,
    optimizer,
)
from hh_keras.training.recipes import SCHEDULES, Recipe
from hh_keras.training.strategy import strategy

__all__ = [
    "SCHEDULES",
    "CoupledAdam",
    "CoupledSGD",
    "Recipe",
    "RecipeSchedule",
    "Trained",
    "confusion",
    "evaluate",
    "optimizer",
    "score_outputs",
    "strategy",
    "train",
]
