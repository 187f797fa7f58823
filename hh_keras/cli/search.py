"""The search as the flags ask for it: scores, the smaller network, or a plan's."""

import dataclasses
import functools
import pathlib

import keras
from absl.flags import FlagValues

import hh_keras
from hh_keras.cli import workdir
from hh_keras.cli.flags import merge_min_keep
from hh_keras.cli.limits import budget
from hh_keras.cli.recovery import inherits
from hh_keras.cli.training import distribution, execution, recipe
from hh_keras.cli.workdir import Run
from hh_keras.data import ImageData, Unlabelled
from hh_keras.errors import BudgetError, HHError
from hh_keras.flag import given, set_defaults
from hh_keras.models import names_file, sources
from hh_keras.search.calibration import HELD_OUT
from hh_keras.search.scores import NEED_DATA
from hh_keras.search.searching import Search, apply_plan, shrink_each
from hh_keras.search.sparse import train_scales
from hh_keras.tasks import registry
from hh_keras.training import checkpoints
from hh_keras.training.replicas import workers

_CALIBRATION = 1000 + HELD_OUT  # images


def initial_weights(args: FlagValues) -> str:
    """ "fresh" or "inherit"."""
    return "inherit" if inherits(args) else "fresh"


def prepare(args: FlagValues) -> None:
    """Completes the search's flags, before anything else is done.

    Raises:
        HHError: flags that are for inherited weights, without; or that contradict
            each other.
    """
    inherit = initial_weights(args) == "inherit"
    if inherit:
        set_defaults(args, {"width_mult": 1.0})
    for name, what in (
        ("calibrate", "images teach the channels that stay"),
        ("sweep", "networks are compared as they are before training"),
    ):
        value = args[name].value
        if value is None:
            continue
        if not inherit:
            raise HHError(
                f"--{name} is for inherited weights, where {what}; fresh ones start "
                "anew. Add --weights=inherit, or leave it out."
            )
        if args.search_epochs:
            raise HHError(f"--{name} and --search_epochs are two searches; give one.")
    if args.sweep and args.plan:
        raise HHError("--plan is one network, --sweep searches several; give one.")
    if without_dataset(args) and args.criterion in NEED_DATA:
        raise HHError(
            f"--criterion={args.criterion} needs labelled images, and --calibrate "
            "has none: give --dataset as well, or leave --criterion out."
        )
    if args.calibrate and not pathlib.Path(args.calibrate).expanduser().is_dir():
        raise HHError(
            f"--calibrate={args.calibrate} is no folder; give one with images, at any "
            "depth, such as the network is to work on."
        )


def without_dataset(args: FlagValues) -> bool:
    """Whether images without labels are all that is asked for."""
    default = args.dataset == args["dataset"].default and not args["dataset"].present
    return bool(args.calibrate) and default and args.task == "classify"


def without_data(args: FlagValues) -> bool:
    """Whether a search needs neither data nor labels, nor data to build its network."""
    if args["dataset"].present or args.search_epochs or inherits(args):
        return False
    application = registry.application(args)
    criterion = args.criterion or application.task.criterion
    if criterion in (*NEED_DATA, "obs") or application.completes:
        return False
    return names_file(args.model) or sources.tells_itself(args.model)


def search(
    model: keras.Model, data: ImageData | Unlabelled, args: FlagValues, run: Run
) -> tuple[keras.Model, hh_keras.ShrinkResult, list[hh_keras.ShrinkResult]]:
    """Finds the smaller network, or applies --plan.

    Args:
        model: the original.
        data: what `hh_keras.cli.network.load` returned.
        args: flags with the search group, completed by `prepare`.
        run: the `hh_keras.cli.workdir.Run`.

    Returns:
        `(original, result, sweep)`: the network to compare with, started as
        `--weights` says, a `hh_keras.ShrinkResult`, and those of --sweep.

    Raises:
        BudgetError, SearchError, PlanError: see `hh_keras.shrink`.
    """
    weights = initial_weights(args)
    with distribution(args).scope():
        # Both networks start in the same way, so the comparison is one of shapes.
        original = model
        if weights == "fresh":
            original = hh_keras.widen(model, 1.0, "fresh", args.seed)
        if args.plan:
            return original, _apply_plan(model, data, args, weights), []
        try:
            result, *sweep = _shrink(model, data, args, weights, run)
            return original, result, sweep
        except BudgetError as error:
            limits = f"--macs={args.macs} --params={args.params}"
            if args.latency.value != float("inf"):
                limits += f" --latency={args.latency}"
            if args.sweep:
                limits += f" --sweep={','.join(map(str, args.sweep))}"
            raise BudgetError(f"{limits}: {error}") from error


def _shrink(model, data, args, weights, run):
    limits = budget(model, data.image_shape, args, run)
    prepare, criterion = None, args.criterion
    if args.search_epochs:
        prepare = functools.partial(_train_scales, data, limits, args, run)
    elif weights == "fresh":
        criterion = criterion or registry.application(args).task.criterion
    task, loss = registry.application(args).task, None
    if data.search is not None:
        loss = _smoothed(task, given(args, "label_smoothing", 0.0))
    whole = hh_keras.cost(model, data.image_shape).macs
    shares = [hh_keras.Budget(s * whole, limits.params) for s in args.sweep or ()]
    search = Search(
        width=args.width_mult,
        criterion=criterion,
        batches=args.search_batches,
        min_keep=merge_min_keep(args.min_keep),
        round_to=args.round_to,
        per_cost=args.per_cost,
        weights=weights,
        seed=args.seed,
        prepare=prepare,
        # Workers that measure for themselves would each find another network.
        measure_latency=workers(distribution(args)) == 1,
        input_shape=_open_shape(model, data.image_shape),
        calibration=_calibration(data, args) if weights == "inherit" else None,
        only=args.only,
        freeze=args.freeze,
    )
    return shrink_each(model, [limits, *shares], data.search, loss, search)


def _smoothed(task, label_smoothing):
    """The task with the loss that is trained by."""
    if not label_smoothing:
        return task
    return dataclasses.replace(
        task, loss=lambda model, _=0.0: task.loss(model, label_smoothing)
    )


def _calibration(data, args):
    """Images to calibrate with: of --calibrate, or those that one trains with.

    Every worker reads the same ones in the same order.
    """
    if args.calibrate:
        read = registry.application(args).calibration
        return read(args, data, args.calibrate, _CALIBRATION)
    size = args.batch_size
    return data.search.take(-(-_CALIBRATION // size))


def _open_shape(model: keras.Model, image_shape: tuple) -> tuple | None:
    """The shape to count costs at, for a model that takes any; else None."""
    takes_any = any(None in tensor.shape[1:] for tensor in model.inputs)
    return image_shape if takes_any else None


def _train_scales(data, limits, args, run, wide):
    """The wide network with trained scales; its history goes to history/search."""
    protocol = dataclasses.replace(
        recipe(args),
        epochs=args.search_epochs,
        warmup_epochs=min(args.warmup_epochs, args.search_epochs),
        distill="none",
        distill_weight=None,
        distill_layers="",
        feature_weight=0.0,
        frozen_statistics=False,
        minutes=0.0,
        ema=0.0,  # an average of scales is never zero
    )
    workdir.claim(run)  # from here on there are checkpoints
    settings = {**execution(args), "epoch_models": False, "workdir": run.path}
    settings["task"] = registry.application(args).task
    if args.tensorboard and run.chief:
        settings["tensorboard"] = run.path / "tensorboard" / "search"
    found, _ = train_scales(
        wide, data, protocol, args.sparsity, limits, name="search", **settings
    )
    checkpoints.remove(run.path / "checkpoints", "search")
    return found


def widened(model: keras.Model, args: FlagValues) -> keras.Model:
    """The wide network of --width_mult, as the search makes it."""
    kind = "preserve" if initial_weights(args) == "inherit" else "fresh"
    patterns = args.only, args.freeze
    return hh_keras.widen(model, args.width_mult, kind, args.seed, *patterns)


def _apply_plan(model, data, args, weights):
    plan = hh_keras.Plan.load(args.plan)
    wide = model
    if args.width_mult != 1:
        wide = widened(model, args)
    shape = _open_shape(model, data.image_shape)
    images = _calibration(data, args) if weights == "inherit" else None
    return apply_plan(model, wide, plan, weights, args.seed, shape, images)
