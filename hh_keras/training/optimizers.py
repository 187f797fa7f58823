"""The optimisers of a recipe: coupled weight decay, a schedule."""

import math
from typing import Any

import keras
from keras import ops

from hh_keras.errors import HHError
from hh_keras.training.recipes import Recipe


class _Coupled:
    """What both optimisers add to Keras's; see `CoupledSGD`."""

    def __init__(
        self,
        learning_rate,
        coupled_decay=0.0,
        decay_vectors=True,
        summed_gradients=False,
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.coupled_decay, self.decay_vectors = coupled_decay, decay_vectors
        self.summed_gradients = summed_gradients
        # A variable, so that it can fall in mid-training and is part of checkpoints.
        self.rate_factor = self.add_variable((), "ones", "float32", name="rate_factor")

    def _get_current_learning_rate(self):
        return super()._get_current_learning_rate() * self.rate_factor

    def _all_reduce_sum_gradients(self, grads_and_vars):
        if self.summed_gradients:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def finalize_variable_values(self, var_list):
        """Leaves the weights alone: averages are taken over all calls of `fit`."""

    def update_step(self, gradient, variable, learning_rate):
        if self.coupled_decay and (self.decay_vectors or len(variable.shape) > 1):
            decay = ops.cast(self.coupled_decay, variable.dtype)
            gradient = ops.cast(gradient, variable.dtype)
            gradient = ops.add(gradient, ops.multiply(decay, variable))
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {
            **super().get_config(),
            "coupled_decay": self.coupled_decay,
            "decay_vectors": self.decay_vectors,
            "summed_gradients": self.summed_gradients,
        }


@keras.saving.register_keras_serializable("hh_keras")
class CoupledSGD(_Coupled, keras.optimizers.SGD):
    """SGD whose weight decay is part of the gradient, as in the paper's code.

    With gradient g, weight w, velocity v, momentum m and learning rate lr:

        g' = g + decay * w;   v = m * v - lr * g';   w = w + v

    This is what `torch.optim.SGD(weight_decay=decay)` computes, and what an L2
    penalty of decay/2 on every trainable weight would do. `keras.optimizers.SGD
    (weight_decay=decay)` computes something else: `w -= lr * decay * w` beside
    the momentum step, decoupled as in AdamW. The momentum then does not
    accumulate the decay, which makes it 1/(1 - m) times weaker: ten times at 0.9.

    The decay is added once per step, to the gradient summed over the replicas.
    The layers' own regularisers are left alone and act besides.

    Args:
        learning_rate: a number or a schedule.
        coupled_decay: the decay above.
        decay_vectors: whether weights of one axis decay too: biases, and the gains
            and offsets of normalisations.
        summed_gradients: whether gradients come summed over the replicas already.
        **kwargs: of `keras.optimizers.SGD`.

    Examples:
        >>> sgd = hh_keras.training.CoupledSGD(0.01, momentum=0.9, coupled_decay=1e-4)
        >>> model.compile(sgd, loss)
        >>> _ = model.fit(images, labels, verbose=0)
    """

    def __init__(self, learning_rate: Any = 0.1, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)


@keras.saving.register_keras_serializable("hh_keras")
class CoupledAdam(_Coupled, keras.optimizers.Adam):
    """Adam whose weight decay is part of the gradient, as `torch.optim.Adam` has it.

    Arguments as of `CoupledSGD`, and those of `keras.optimizers.Adam`.

    Examples:
        >>> adam = hh_keras.training.CoupledAdam(1e-3, coupled_decay=1e-4)
        >>> model.compile(adam, loss)
        >>> _ = model.fit(images, labels, verbose=0)

    Reference: Kingma and Ba, arXiv:1412.6980.
    """

    def __init__(self, learning_rate: Any = 0.001, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)


@keras.saving.register_keras_serializable("hh_keras")
class RecipeSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate by step: a linear warm-up, then the recipe's decay.

    Args:
        peak: learning rate at the end of the warm-up.
        steps: training steps in all.
        warmup_steps: how many of them warm up, linearly from peak/warmup_steps.
        shape: "cosine", "step" or "constant" (see `Recipe.schedule`).

    Attributes:
        pace: steps of the schedule that go by in one of the training; a variable where
            it is not known before the first steps are timed, else None.

    Examples:
        >>> rate = hh_keras.training.RecipeSchedule(0.1, steps=100, warmup_steps=10)
        >>> [round(float(rate(step)), 3) for step in (0, 9, 55, 99)]
        [0.01, 0.1, 0.05, 0.0]
    """

    def __init__(
        self, peak: float, steps: int, warmup_steps: int = 0, shape: str = "cosine"
    ) -> None:
        super().__init__()
        self.peak, self.steps = float(peak), int(steps)
        self.warmup_steps, self.shape = int(warmup_steps), shape
        self.pace: Any = None

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        if self.pace is not None:
            step = step * self.pace
        warm = ops.minimum((step + 1.0) / max(self.warmup_steps, 1), 1.0)
        span = max(self.steps - self.warmup_steps, 1)
        done = ops.clip((step - self.warmup_steps) / span, 0.0, 1.0)
        if self.shape == "cosine":
            decay = 0.5 * (1.0 + ops.cos(math.pi * done))
        elif self.shape == "step":
            halves = ops.cast(done >= 0.5, "float32") + ops.cast(
                done >= 0.75, "float32"
            )
            decay = ops.power(0.1, halves)
        else:
            decay = 1.0
        return self.peak * warm * decay

    def get_config(self) -> dict:
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "shape": self.shape,
        }


def optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.Optimizer:
    """Returns a fresh optimiser for a recipe.

    Args:
        recipe: a `Recipe`.
        steps_per_epoch: batches in one pass over the training data, at least 1.

    Returns:
        A `CoupledSGD` or `CoupledAdam` for gradients that are summed over the replicas;
        for precision "mixed_float16" within a `keras.optimizers.LossScaleOptimizer`.

    Raises:
        HHError: there is not a single batch to train on.

    Examples:
        >>> recipe = hh_keras.training.Recipe(optimizer="adam", learning_rate=1e-3)
        >>> adam = hh_keras.training.optimizer(recipe, steps_per_epoch=100)
        >>> type(adam).__name__
        'CoupledAdam'
    """
    if steps_per_epoch < 1:
        raise HHError("training: the training data hold not a single batch.")
    schedule = schedule_of(recipe, steps_per_epoch)
    common = {
        "coupled_decay": float(recipe.weight_decay),
        "decay_vectors": recipe.decay_vectors,
        "summed_gradients": True,
        "global_clipnorm": float(recipe.clip_norm) or None,
        "use_ema": recipe.ema > 0,
        "ema_momentum": float(recipe.ema) or 0.99,
    }
    momentum = float(recipe.momentum)
    if recipe.optimizer == "adam":
        made = CoupledAdam(schedule, beta_1=momentum, **common)
    else:
        made = CoupledSGD(
            schedule, momentum=momentum, nesterov=recipe.nesterov, **common
        )
    if recipe.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(made)
    return made


def schedule_of(recipe: Recipe, steps_per_epoch: int) -> RecipeSchedule:
    """The learning rate of a recipe by step, a `RecipeSchedule`."""
    schedule = RecipeSchedule(
        recipe.peak_learning_rate,
        steps=recipe.epochs * steps_per_epoch,
        warmup_steps=round(recipe.warmup_epochs * steps_per_epoch),
        shape=recipe.schedule,
    )
    if recipe.minutes:
        schedule.pace = keras.Variable(1.0, trainable=False, name="pace")
    return schedule


def innermost(optimizer: keras.Optimizer) -> keras.Optimizer:
    """The optimiser within a `LossScaleOptimizer`, or the optimiser itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)
