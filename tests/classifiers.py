"""Training classifiers, which is what most tests train."""

import functools

from hh_keras import training
from hh_keras.search import sparse
from hh_keras.tasks.classification.task import TASK

train = functools.partial(training.train, task=TASK)
train_scales = functools.partial(sparse.train_scales, task=TASK)
