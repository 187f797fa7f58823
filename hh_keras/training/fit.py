"""Training a network by a recipe."""

import dataclasses
import functools
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hh_keras.data.batches import as_dataset
from hh_keras.errors import HHError
from hh_keras.graph.heads import known_outputs
from hh_keras.progress import Verbose, shown, verbosity
from hh_keras.suggestions import did_you_mean
from hh_keras.training import pace
from hh_keras.training.averaging import swap
from hh_keras.training.features import images_of
from hh_keras.training.judge import Judge
from hh_keras.training.keeper import Keeper, NotFinite
from hh_keras.training.layerwise import changed, for_recipe
from hh_keras.training.losses import check
from hh_keras.training.not_finite import of_batches
from hh_keras.training.objective import objective
from hh_keras.training.optimizers import optimizer
from hh_keras.training.recipes import Recipe
from hh_keras.training.stopping import termination
from hh_keras.training.task import Task
from hh_keras.training.trainee import Trainee, unpacked, weighted
from hh_keras.training.units import in_units_of_statistics

ON_NAN = ("stop", "rollback")
_SOME = 4  # batches, by which features are matched


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """What `train` returns.

    Attributes:
        model: the trained model; the one that was given, if one was.
        history: a list with one dict per epoch: epoch (from 1), loss, of several
            outputs NAME_loss of each, and the task's measures and metrics, such as
            accuracy (means over the epoch's training examples), val_loss and so on,
            learning_rate (at the epoch's first step), seconds.
        discarded: whether the model has the weights of before, as `never_worse` wants
            where training did not make it better.

    Examples:
        >>> import types, tensorflow as tf
        >>> batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
        >>> trained = hh_keras.training.train(
        ...     model,
        ...     types.SimpleNamespace(train=batches, validation=batches),
        ...     hh_keras.training.Recipe(epochs=1, learning_rate=0.01),
        ...     task=hh_keras.training.Task(loss=loss),
        ...     verbose=0,
        ... )
        >>> trained.model is model, sorted(trained.history[0])
        (True, ['epoch', 'learning_rate', 'loss', 'seconds', 'val_loss'])
    """

    model: keras.Model
    history: list
    discarded: bool = False


def train(
    build_or_model: keras.Model | Callable[[], keras.Model],
    data: Any,
    recipe: Recipe,
    strategy: tf.distribute.Strategy | None = None,
    workdir: str | Path | None = None,
    name: str = "model",
    *,
    teacher: keras.Model | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    until: Callable[[list], bool] | None = None,
    checkpoint_steps: int = 500,
    resume: bool = True,
    on_nan: str = "stop",
    never_worse: bool = False,
    epoch_models: bool = False,
    steps_per_execution: int = 1,
    jit_compile: bool | None = None,
    to_go: Callable[[float, float], float] | None = None,
    verbose: Verbose = "auto",
    task: Task,
) -> Trained:
    """Trains a model by a recipe, on one device, many, or many machines.

    The model's own compile state and `train_step` play no part and stay as they are.
    Every example of a global batch counts the same, whatever replica it falls to.

    With a `workdir`, checkpoints are written there every `checkpoint_steps` steps and
    after every epoch, and the same call made again goes on from the newest one: on one
    CPU, and with data that have `epoch`, it ends with the same weights, bit for bit, as
    a training that was never interrupted. SIGTERM writes a checkpoint and stops.

    Args:
        build_or_model: a Keras model for the task, for instance a classifier
            `(batch, h, w, c) -> (batch, classes)`, which is trained in place, or a
            function without arguments that makes one.
        data: has `train` and `validation`, tf.data datasets, or
            `keras.utils.PyDataset`s, of (images, labels) batches, as
            `hh_keras.data.load` makes them with the recipe's `batch_size`, `augment`
            and `seed`; labels are integers, or what else the task's loss takes, such as
            clean images; of several inputs or outputs, tuples or dicts. A third element
            of a batch are sample weights, see `hh_keras.training.losses`. `validation`
            may be None. If it has `epoch`, see `hh_keras.data.ImageData`, that is
            trained on instead.
        recipe: a `Recipe`.
        strategy: a `tf.distribute.Strategy`; None is the one that the model was made
            in, or that is current.
        workdir: if given, `history/NAME.csv` and `.jsonl` are kept up to date
            there after every epoch, and `checkpoints/NAME-*.npz`. Workers share it.
        name: of the network, in the files' names and on the screen.
        teacher: a trained network, for recipes that distil.
        callbacks: further Keras callbacks; what they remember is not in checkpoints.
        until: function of the history; training ends behind the epoch at which it is
            true.
        checkpoint_steps: steps from one checkpoint to the next.
        resume: False ignores checkpoints that are there.
        on_nan: when the loss is NaN or infinite, "stop", or "rollback": go on from the
            last checkpoint with half the learning rate, up to five times.
        never_worse: whether to validate before the first step, too, and to go back to
            the weights of then if the last epoch is no better.
        epoch_models: whether to write `epoch_models/NAME_last.keras` and
            `NAME_best.keras` (by the task's goal on the validation data) there after
            every epoch.
        steps_per_execution: steps that TensorFlow takes at a time; more is faster for
            small networks. Losses, checkpoints and signals are seen to in between.
        jit_compile: whether XLA compiles the step; None leaves it to Keras on GPUs and
            is False on CPUs, where XLA takes longer to compile and to run.
        to_go: what the screen tells as the time to go: a function of the seconds left
            of this training and of those from its start to its end. None: the former.
        verbose: 0 is silent, 1 draws bars, 2 prints lines, one per epoch and of
            long ones one every ten seconds; "auto" draws bars on
            terminals and in notebooks, and prints lines in files and pipes.
        task: a `Task`, such as `hh_keras.tasks.classification.task.TASK`.

    Returns:
        A `Trained`.

    Raises:
        HHError: the loss became NaN or infinite; the message says where. Or the recipe
            asks for what the task has no use for, or losses do not fit outputs, labels
            or sample weights.
        ModelError: the model has no known outputs, or the teacher does not fit.
        Stopped: SIGTERM came; a checkpoint has been written.
        WorkdirError: checkpoints cannot be written, or are of another training.

    Examples:
        >>> from hh_keras.tasks.classification.task import TASK
        >>> data = hh_keras.data.load("embedded", (8, 8, 3), batch_size=8, limit=20)
        >>> recipe = hh_keras.training.Recipe(epochs=1, learning_rate=0.01)
        >>> trained = hh_keras.training.train(model, data, recipe, task=TASK, verbose=0)
        >>> sorted(trained.history[0])
        ['accuracy', 'epoch', 'learning_rate', 'loss', 'seconds', 'val_accuracy',
        'val_loss']
    """
    started = pace.clock()
    if on_nan not in ON_NAN:
        raise HHError(f"on_nan={on_nan!r}: choose one of {', '.join(ON_NAN)}.")
    if on_nan == "rollback" and workdir is None:
        raise HHError("on_nan='rollback' goes back to checkpoints: give a workdir.")
    if strategy is None:
        strategy = _strategy_of(build_or_model)
    network = _made_under(strategy, build_or_model)
    teacher = None if teacher is None else _made_under(strategy, teacher)
    known_outputs(network)
    data = _as_datasets(data)
    inherited = network.get_weights() if never_worse else None
    if recipe.frozen_statistics:
        in_units_of_statistics(network)
    steps = steps_per_epoch(data.train)
    changes = for_recipe(network, recipe, _compile_by(jit_compile))
    with shown(verbose), changed(changes) as plain, termination() as asked_to_stop:
        trainee = compiled(
            network,
            recipe,
            steps,
            teacher,
            steps_per_execution,
            jit_compile,
            task,
            _some_images(data),
            _specs(data),
        )
        keeper = Keeper(
            network,
            plain,
            recipe,
            steps,
            workdir,
            name,
            checkpoint_steps,
            epoch_models,
            asked_to_stop,
            until,
            task.goal,
            verbosity(sys.stdout),
            max(0, int(data.validation.cardinality())) if data.validation else 0,
            to_go,
        )
        _fit(trainee, data, keeper, callbacks, resume, on_nan, never_worse, started)
    discarded = keeper.worse
    if discarded:
        network.set_weights(inherited)
    return Trained(_handed_back(network, build_or_model), keeper.rows, discarded)


def _as_datasets(data):
    """The same, of batches that may be of Keras' own kind."""
    return types.SimpleNamespace(
        train=as_dataset(data.train),
        validation=as_dataset(data.validation) if data.validation else None,
        epoch=getattr(data, "epoch", None),
    )


def _some_images(data):
    """The images of a few batches, when they are asked for."""
    for images, *_ in _batches(data)(0, 0).take(_SOME):
        yield images


def _batches(data):
    """Function of an epoch and a step, that gives the batches from there on."""
    return data.epoch or (lambda _, first: data.train.skip(first))


def _strategy_of(build_or_model):
    if isinstance(build_or_model, keras.Model):
        return build_or_model.distribute_strategy
    return tf.distribute.get_strategy()


def _made_under(strategy, build_or_model):
    """A model with variables where the strategy wants them, copied if need be."""
    with strategy.scope():
        if not isinstance(build_or_model, keras.Model):
            return build_or_model()
        if build_or_model.distribute_strategy is strategy:
            return build_or_model
        copy = keras.models.clone_model(build_or_model)
        copy.set_weights(build_or_model.get_weights())
        return copy


def _handed_back(network, build_or_model):
    if not isinstance(build_or_model, keras.Model):
        return network
    if build_or_model is not network:
        build_or_model.set_weights(network.get_weights())
    return build_or_model


def compiled(
    network: keras.Model,
    recipe: Recipe,
    steps: int,
    teacher: keras.Model | None,
    steps_per_execution: int,
    jit_compile: bool | None,
    task: Task,
    images: Iterable = (),
    specs: Mapping[str, Any] | None = None,
) -> Trainee:
    """The same layers and weights, compiled beside the model.

    The caller's model is left uncompiled, so its file loads without this package's
    optimiser.

    Args:
        network, recipe, teacher, steps_per_execution, jit_compile, task: as of `train`.
        steps: of an epoch.
        images: a few batches, by which features are matched.
        specs: "training" and "validation" → what their batches look like; losses are
            tried on it before anything else.
    """
    strategy = network.distribute_strategy
    _check_execution(strategy, steps_per_execution, jit_compile)
    with strategy.scope():
        features, learnt = objective(recipe, network, teacher, task=task, images=images)
        trainee = Trainee(
            images_of(network), [*network.outputs, *features], name=network.name
        )
        losses = task.losses(network)
        names, labels = _tried(losses, network, specs or {}, task.labelled)
        judge = Judge(
            network, task.measures, task.metrics, task.weighted_metrics, labels
        )
        if "validation" in (specs or {}):
            _check_goal(task, [*names, *judge.names_of_results])
        trainee.learn(
            learnt, losses, names, judge, recipe.frozen_statistics, task.labelled
        )
        trainee.compile(
            optimizer=optimizer(recipe, steps),
            steps_per_execution=steps_per_execution,
            jit_compile=_compile_by(jit_compile),
        )
        # Slots are made when they are first needed; checkpoints need them now.
        trainee.optimizer.build(trainee.trainable_variables)
    return trainee


def _check_goal(task, known):
    if task.goal.key not in known:
        raise HHError(
            f"task {task.name!r}: its goal is {task.goal.key!r}, but no loss, measure "
            f"or metric is called so; there are {', '.join(known)}."
            + did_you_mean(task.goal.key, known)
        )


def _specs(data):
    """What batches look like, of those that there are."""
    found = {"training": data.train, "validation": data.validation}
    return {what: each.element_spec for what, each in found.items() if each}


def _tried(losses, network, specs, labelled):
    """Names of the losses, and what labels look like."""
    names, looks = ["loss"], None
    for what, spec in specs.items():
        _, labels, own = unpacked(spec)
        if labelled or what == "validation":
            names = check(losses, network, labels, own, what)
            looks = labels if looks is None else looks
    return names, looks


def _compile_by(jit_compile: bool | None) -> bool | str:
    """What Keras is told: "auto" leaves it to Keras, on GPUs."""
    if jit_compile is None:
        return "auto" if tf.config.list_physical_devices("GPU") else False
    return jit_compile


def _check_execution(strategy, steps_per_execution, jit_compile):
    """Refuses what Keras cannot do on replicas that are no TPU cores."""
    if strategy.num_replicas_in_sync == 1 or isinstance(
        strategy, tf.distribute.TPUStrategy
    ):
        return
    if jit_compile:
        raise HHError(
            "jit_compile works on one device only; leave it to None or False."
        )
    if steps_per_execution > 1:
        raise HHError(
            f"steps_per_execution={steps_per_execution} works on one device and on "
            "TPUs only; leave it at 1."
        )


def _fit(trainee, data, keeper, callbacks, resume, on_nan, never_worse, started):
    """Calls `fit` once per epoch: each has data of its own."""
    strategy = trainee.distribute_strategy
    replicas = strategy.num_replicas_in_sync
    verbose = 1 if keeper.verbosity == 1 and keeper.writes else 0
    every = _OneTraining(
        [*callbacks, keeper],
        add_history=True,
        add_progbar=verbose,
        model=trainee,
        verbose=verbose,
        epochs=keeper.recipe.epochs,
        steps=keeper.steps,
    )
    batches = _batches(data)
    validation = data.validation and weighted(data.validation, replicas)
    trainee.stop_training = False
    with strategy.scope():
        resumed = resume and keeper.resume()
    if resumed:
        keeper.say_resumed()
    else:
        _begin(trainee, keeper, batches, validation, on_nan, never_worse, started)
    every.set_params(
        {"verbose": verbose, "epochs": keeper.epochs, "steps": keeper.steps}
    )  # of a limit in minutes they are known now
    while not (keeper.finished or trainee.stop_training):
        try:
            trainee.fit(
                _rest(batches, keeper, replicas),
                validation_data=validation,
                initial_epoch=keeper.epoch,
                epochs=keeper.epoch + 1,
                shuffle=False,  # the data set does it
                callbacks=every,
            )
        except NotFinite as error:
            _check_data(batches, keeper)
            if on_nan == "stop":
                raise
            with strategy.scope():
                keeper.roll_back(error)
    every.end()
    with strategy.scope():
        swap(trainee)


def _check_data(batches, keeper):
    """Raises NotFinite if the data that were trained on are to blame."""
    told = of_batches(batches(keeper.epoch, 0).take(keeper.step))
    if told:
        raise NotFinite(
            f"training {keeper.name}: in epoch {keeper.epoch + 1}, {told} is NaN or "
            "infinite. Leave such examples out of the data, or put numbers in their "
            "place."
        )


def _rest(batches, keeper, replicas):
    """The batches of this epoch that have not been trained on."""
    left = batches(keeper.epoch, keeper.step)
    if keeper.progress.span:
        left = left.take(keeper.steps - keeper.step)
    return weighted(left, replicas)


def _begin(trainee, keeper, batches, validation, on_nan, never_worse, started):
    """What comes before the first step: a first validation, the plan of the time."""
    minutes, strategy = keeper.recipe.minutes, trainee.distribute_strategy
    start, step, besides, replicas = None, 0.0, 0.0, strategy.num_replicas_in_sync
    one = validation.take(1) if validation else None
    if one and (never_worse or minutes):
        trainee.evaluate(one, verbose=0)  # compiles
    if minutes:
        epoch = functools.partial(_rest, batches, keeper, replicas)
        step, besides = pace.speed(trainee, epoch, one, 60 * minutes)
    if validation and (never_worse or minutes):
        before = pace.clock()
        found = trainee.evaluate(validation, verbose=0, return_dict=True)
        besides += pace.clock() - before
        if never_worse:
            start = {f"val_{k}": float(np.ravel(v)[0]) for k, v in found.items()}
    with strategy.scope():
        before = pace.clock()
        if minutes or start or on_nan == "rollback":
            keeper.begin(start)
        if minutes:
            besides += pace.clock() - before
            span = pace.plan(60 * minutes, started, step, besides, keeper)
            keeper.begin(start, span)


class _OneTraining(keras.callbacks.CallbackList):
    """Callbacks that see several calls of `fit` as one training."""

    begun = False

    def on_train_begin(self, logs=None):
        if not self.begun:
            self.begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs=None):
        self.logs = logs

    def end(self):
        if self.begun:
            super().on_train_end(self.logs)


def steps_per_epoch(dataset: tf.data.Dataset) -> int:
    """Counts the batches of a data set, by a pass over it if need be.

    Raises:
        DataError: it never ends.
    """
    dataset = as_dataset(dataset)
    count = int(dataset.cardinality())
    if count == tf.data.UNKNOWN_CARDINALITY:
        count = sum(1 for _ in dataset)
    return count
