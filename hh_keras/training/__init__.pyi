"""The public names and where they live; `__init__.py` reads this file."""

from .fit import Trained as Trained
from .fit import train as train
from .optimizers import CoupledAdam as CoupledAdam
from .optimizers import CoupledSGD as CoupledSGD
from .optimizers import RecipeSchedule as RecipeSchedule
from .optimizers import optimizer as optimizer
from .recipes import SCHEDULES as SCHEDULES
from .recipes import Recipe as Recipe
from .recovery import RECOVERY as RECOVERY
from .recovery import recover as recover
from .replicas import strategy as strategy
from .task import Task as Task
