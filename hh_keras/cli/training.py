"""Training as the flags ask for it."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.flags import FlagValues

from hh_keras import training
from hh_keras.cli import workdir
from hh_keras.cli.recovery import recovers
from hh_keras.cli.workdir import Run
from hh_keras.data import ImageData
from hh_keras.flag import given
from hh_keras.models import sources
from hh_keras.tasks import registry
from hh_keras.tasks.application import Application
from hh_keras.training import Recipe, Trained, strategy
from hh_keras.training.replicas import chiefs, is_chief
from hh_keras.training.tensorboard import TensorBoard


def recipe(args: FlagValues) -> Recipe:
    """Makes the training protocol from the flags."""
    fields = {field.name for field in dataclasses.fields(Recipe)}
    values = {name: args[name].value for name in args if name in fields}
    if values.get("distill", "none") is None:
        values["distill"] = "kd" if args.teacher else "none"
    values["minutes"] = given(args, "recover") or 0.0
    return Recipe(**values)


def distribution(args: FlagValues) -> tf.distribute.Strategy:
    """The strategy that the flags ask for; to be called before anything else."""
    return strategy(given(args, "strategy", "auto"), given(args, "devices"))


def open_run(args: FlagValues, program: str) -> Run:
    """Opens --workdir; see `hh_keras.cli.workdir.open_run`."""
    chief = is_chief(distribution(args))
    config = workdir.configuration(program, args)
    return workdir.open_run(args.workdir, config, args.overwrite, chief)


def wait_for_all(args: FlagValues) -> None:
    """Returns once all workers of a run are here."""
    chiefs(np.zeros(1, "float32"), distribution(args))


def train(
    build_or_model: Any,
    data: ImageData,
    recipe: Recipe,
    args: FlagValues,
    run: Run,
    name: str,
    teacher: str | Path | None = None,
    to_go: Callable[[float, float], float] | None = None,
) -> Trained:
    """Trains a network as the flags say.

    Args:
        build_or_model, data, recipe: as of `hh_keras.training.train`.
        args: flags of the training groups.
        run: the `hh_keras.cli.workdir.Run`.
        name: of the network.
        teacher: a file; --teacher comes first.
        to_go: as of `hh_keras.training.train`.
    """
    file = args.teacher or teacher
    callbacks = []
    if args.tensorboard and run.chief:
        callbacks = [TensorBoard(run.path / "tensorboard" / name)]
    return training.train(
        build_or_model,
        data,
        recipe,
        distribution(args),
        run.path,
        name,
        teacher=sources.from_file(file) if file else None,
        never_worse=recovers(args),
        callbacks=callbacks,
        to_go=to_go,
        task=registry.application(args).task,
        **execution(args),
    )


def execution(args: FlagValues) -> dict[str, Any]:
    """Arguments of `hh_keras.training.train` on how it is carried out."""
    return {
        "checkpoint_steps": args.checkpoint_steps,
        "resume": args.resume,
        "on_nan": args.on_nan,
        "epoch_models": args.epoch_models,
        "steps_per_execution": args.steps_per_execution,
        "jit_compile": {"auto": None, "yes": True, "no": False}[args.jit_compile],
    }


def scores_line(application: Application, scores: Mapping, examples: int) -> str:
    """One line of what an evaluation found."""
    return f"{application.say(scores)} on {examples:,} {application.examples}"
