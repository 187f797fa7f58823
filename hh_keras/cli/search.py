"""The steps that the scripts are made of: each turns flags into library calls."""

import dataclasses
import functools
import json
import time

import keras
import numpy as np
import tensorflow as tf

import hh_keras
from hh_keras import data as datasets
from hh_keras import files, latency, models, training
from hh_keras.cli import workdir
from hh_keras.cli.flags import merge_min_keep
from hh_keras.errors import BudgetError, HHError, ModelError
from hh_keras.export import input_shape, tiles_of
from hh_keras.models import sources
from hh_keras.report.tensorboard import TensorBoard
from hh_keras.search.sparse import train_scales
from hh_keras.tasks import classification, restoration
from hh_keras.tasks import registry as tasks
from hh_keras.training import Recipe, checkpoints, strategy
from hh_keras.training.strategy import chiefs, is_chief, workers


def load(args, labels=True):
    """Builds the model and loads the data, each fitted to the other.

    Args:
        args: flags of the model, data and training groups that the script has.
        labels: whether the model must have one output per class.

    Returns:
        `(model, data)`; the images have the size and channels that the model takes.

    Raises:
        ModelError, DataError: either cannot be had, or labels and head differ.
    """
    if tasks.restores(args):
        return _load_restoring(args)
    data = load_data(args, None)
    model = build(args, data.image_shape, len(data.class_names))
    if labels:
        classification.check_head(model, len(data.class_names))
    shape = tuple(model.inputs[0].shape[1:])
    shape = _filled(shape, _wanted_shape(args, data.image_shape))
    if shape != tuple(data.image_shape):
        data = load_data(args, shape)
    return model, data


def _load_restoring(args):
    """The same of a network that restores images, and of photographs in pairs."""
    if args.model in models.list_models() or args.model.startswith("keras.app"):
        raise ModelError(
            f"--model={args.model} is a classifier; for --task={args.task} choose one "
            f"of {', '.join(models.list_models(args.task))}, module:function, or a "
            ".keras file."
        )
    model = build(args, (None, None, args.channels), None)
    takes = tuple(model.inputs[0].shape[1:])
    if takes[:2] != (None, None):
        raise ModelError(
            f"--model={args.model} takes images of {takes[0]}x{takes[1]} only, but "
            f"photographs have any size; build it for (None, None, {takes[2]})."
        )
    channels = args.channels if args["channels"].present else takes[2]
    data = load_photographs(args, channels, restoration.size_multiple(model))
    tasks.of(args).check(model, data)
    return model, data


def load_photographs(args, channels, multiple=1):
    """Loads --dataset as pairs of degraded and clean images.

    Args:
        args: flags.
        channels: 1 or 3.
        multiple: what the sides of a network's images must be multiples of.
    """
    return datasets.load_pairs(
        args.dataset,
        args.degrade,
        args.patch,
        channels,
        args.batch_size,
        _given(args, "seed", 0),
        _given(args, "augment", "none"),
        args.limit,
        patches_per_image=args.patches_per_image,
        multiple=multiple,
        validation_size=args.validation_size or None,
        memory_bytes=args.memory_mb * 2**20,
        on_bad_image=args.on_bad_image,
        hold_out=not _given(args, "all_images", False),
    )


def load_photographs_for_file(args):
    """The same with the channels, and the multiple, of the file --model.

    Raises:
        ModelError: it takes no grey or RGB images.
    """
    takes = input_shape(args.model)
    if len(takes) != 3 or takes[2] not in (1, 3):
        raise ModelError(
            f"--model={args.model} takes inputs of shape {takes}; for "
            f"--task={args.task} it must take grey or RGB images."
        )
    if args["channels"].present and args.channels != takes[2]:
        raise ModelError(
            f"--channels={args.channels}: --model={args.model} takes {takes[2]}."
        )
    told = tiles_of(args.model)
    return load_photographs(args, takes[2], told["multiple"] if told else 1)


def again(args, data):
    """The data loaded anew; photographs' batches remember nothing and stay."""
    return data if tasks.restores(args) else load_data(args, data.image_shape)


def load_data(args, image_shape):
    """Loads --dataset; image_shape None keeps the data's own."""
    return datasets.load(
        args.dataset,
        image_shape=image_shape,
        batch_size=args.batch_size,
        seed=_given(args, "seed", 0),
        limit=args.limit,
        memory_bytes=args.memory_mb * 2**20,
        on_bad_image=args.on_bad_image,
        **{name: args[name].value for name in _OF_THE_DATA if name in args},
    )


_OF_THE_DATA = ("augment", "rand_augment", "mixup", "cutmix", "view")


def load_data_for_file(args):
    """Loads --dataset in the shape that the file --model takes."""
    data = load_data(args, None)
    wanted = _filled(input_shape(args.model), _wanted_shape(args, data.image_shape))
    return data if wanted == tuple(data.image_shape) else load_data(args, wanted)


def build(args, image_shape, num_classes):
    """Builds --model for images of the data's own shape, under the strategy.

    A file or a function may insist on another shape, which then wins.
    """
    shape = _wanted_shape(args, image_shape)
    pretrained, model_args = _given(args, "pretrained"), _given(args, "model_args")
    scale = _given(args, "scale")
    keras.utils.set_random_seed(_given(args, "seed", 0))
    with distribution(args).scope():
        if args.model.endswith(".keras") or ":" in args.model:
            if args.model.endswith(".keras"):
                model = models.build(args.model, model_args=model_args)
            else:
                model = sources.from_function(
                    args.model, shape, num_classes, model_args, scale
                )
            shape = _insisted(args, model, shape)
            if not pretrained:
                return model
        return models.build(
            args.model, shape, num_classes, pretrained, model_args, scale
        )


def _given(args, name, default=None):
    """A flag's value, or a default where the script does not have the flag."""
    return getattr(args, name) if name in args else default


def _wanted_shape(args, own):
    """The images' shape as far as flags and data decide it."""
    height, width = args.image_size or own[:2]
    rgb = _given(args, "pretrained") == "imagenet"
    return (height, width, 3 if rgb else own[2])


def _insisted(args, model, wanted):
    """The shape that a user's own model takes, if it takes one image."""
    inputs = getattr(model, "inputs", None)
    if not inputs or len(inputs) != 1:
        count = f"{len(inputs)} inputs" if inputs else "no known input"
        raise ModelError(
            f"--model={args.model} has {count}; a built functional or Sequential model "
            "with exactly one is needed, for images."
        )
    takes = tuple(inputs[0].shape[1:])
    if len(takes) != 3:
        raise ModelError(
            f"--model={args.model} takes inputs of shape {takes}; it must take images "
            "(height, width, channels)."
        )
    shape = _filled(takes, wanted)
    if args.image_size and shape[:2] != tuple(args.image_size):
        raise ModelError(
            f"--image_size={args.image_size[0]}x{args.image_size[1]} does not fit: "
            f"--model={args.model} takes {shape[0]}x{shape[1]} images. "
            "Leave --image_size out."
        )
    return shape


def _filled(takes, wanted):
    """A model's input shape with unknown sizes taken from the images'."""
    return tuple(
        own if size is None else size for size, own in zip(takes, wanted, strict=True)
    )


def recipe(args):
    """Makes the training protocol from the flags."""
    fields = {field.name for field in dataclasses.fields(Recipe)}
    values = {name: args[name].value for name in args if name in fields}
    if values.get("distill", "none") is None:
        values["distill"] = "kd" if args.teacher else "none"
    return Recipe(**values)


def distribution(args):
    """The strategy that the flags ask for; to be called before anything else."""
    return strategy(_given(args, "strategy", "auto"), _given(args, "devices"))


def open_run(args, program):
    """Opens --workdir; see `launch.workdir.open_run`."""
    chief = is_chief(distribution(args))
    config = workdir.configuration(program, args)
    return workdir.open_run(args.workdir, config, args.overwrite, chief)


def wait_for_all(args):
    """Returns once all workers of a run are here."""
    chiefs(np.zeros(1, "float32"), distribution(args))


def train(build_or_model, data, recipe, args, run, name):
    """Trains a network as the flags say.

    Returns:
        The trained model and its history.
    """
    teacher = sources.from_file(args.teacher) if args.teacher else None
    callbacks = []
    if args.tensorboard and run.chief:
        callbacks = [TensorBoard(run.path / "tensorboard" / name)]
    trained = training.train(
        build_or_model,
        data,
        recipe,
        distribution(args),
        run.path,
        name,
        teacher=teacher,
        callbacks=callbacks,
        task=tasks.of(args),
        **execution(args),
    )
    return trained.model, trained.history


def execution(args):
    """Arguments of `hh_keras.training.train` on how it is carried out."""
    return {
        "checkpoint_steps": args.checkpoint_steps,
        "resume": args.resume,
        "on_nan": args.on_nan,
        "epoch_models": args.epoch_models,
        "steps_per_execution": args.steps_per_execution,
        "jit_compile": {"auto": None, "yes": True, "no": False}[args.jit_compile],
    }


def initial_weights(args):
    """ "fresh" or "inherit"."""
    return args.weights or ("inherit" if args.pretrained else "fresh")


def search(model, data, args, run):
    """Finds the smaller network, or applies --plan.

    Args:
        model: the original.
        data: what `load` returned.
        args: flags with the search group.
        run: the `launch.workdir.Run`.

    Returns:
        `(original, result)`: the network to compare with, started as `--weights`
        says, and a `hh_keras.ShrinkResult`.

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
            return original, _apply_plan(model, data, args, weights)
        try:
            return original, _shrink(model, data, args, weights, run)
        except BudgetError as error:
            limits = f"--macs={args.macs} --params={args.params}"
            if args.latency.value != float("inf"):
                limits += f" --latency={args.latency}"
            raise BudgetError(f"{limits}: {error}") from error


def _shrink(model, data, args, weights, run):
    limits = budget(model, data.image_shape, args, run)
    prepare, criterion = None, args.criterion
    if args.search_epochs:
        prepare = functools.partial(_train_scales, data, limits, args, run)
    elif weights == "fresh":
        criterion = criterion or tasks.of(args).criterion
    return hh_keras.shrink(
        model,
        data.search,
        tasks.of(args).loss(model, _given(args, "label_smoothing", 0.0)),
        limits,
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
        input_shape=open_shape(model, data.image_shape),
    )


def open_shape(model, image_shape):
    """The shape to count costs at, for a model that takes any; else None."""
    return image_shape if None in model.inputs[0].shape[1:] else None


def _train_scales(data, limits, args, run, wide):
    """The wide network with trained scales; its history goes to history/search."""
    protocol = dataclasses.replace(
        recipe(args),
        epochs=args.search_epochs,
        warmup_epochs=min(args.warmup_epochs, args.search_epochs),
        distill="none",
        distill_weight=None,
        distill_layers="",
        ema=0.0,  # an average of scales is never zero
    )
    workdir.claim(run)  # from here on there are checkpoints
    settings = {**execution(args), "epoch_models": False, "workdir": run.path}
    settings["task"] = tasks.of(args)
    if args.tensorboard and run.chief:
        settings["tensorboard"] = run.path / "tensorboard" / "search"
    found, _ = train_scales(
        wide, data, protocol, args.sparsity, limits, name="search", **settings
    )
    checkpoints.remove(run.path / "checkpoints", "search")
    return found


def widened(model, args):
    """The wide network of --width_mult, as the search makes it."""
    kind = "preserve" if initial_weights(args) == "inherit" else "fresh"
    return hh_keras.widen(model, args.width_mult, kind, args.seed)


def budget(model, image_shape, args, run):
    """The limits of --macs, --params and --latency in absolute terms."""
    cost = hh_keras.cost(model, image_shape)
    macs, params = args.macs.of(cost.macs), args.params.of(cost.params)
    if args.latency.value == float("inf"):
        if macs is None and params is None:
            raise HHError(
                "--macs, --params and --latency are all none; give at least one limit."
            )
        return hh_keras.Budget(macs=macs, params=params)
    table = latency_table(model, args, run)
    original = latency.predict_latency(model, table, image_shape)
    limit = args.latency.amount(original)
    return hh_keras.Budget(macs, params, limit, table)


def latency_table(model, args, run):
    """Reads --latency_table, or measures one and keeps it in --workdir."""
    if args.latency_table:
        return latency.LatencyTable.load(args.latency_table)
    if workers(distribution(args)) > 1:
        raise HHError(
            "--latency needs a --latency_table when several workers search: make one "
            "with launch/latency.py."
        )
    path, settings = (
        run.path / "latency.json",
        (
            args.latency_quantize,
            args.latency_threads,
        ),
    )
    if path.exists():
        table = latency.LatencyTable.load(path)
        known = (table.quantize, table.threads) == settings
        if known and table.device == latency.device() and _has(table, model):
            return table
    print("  measuring how long layers take ...", flush=True)
    table = latency.measure([model], *settings, width=args.width_mult)
    workdir.claim(run)
    table.save(path)
    return table


def _has(table, model):
    return latency.architecture(latency.units(model)) in table.networks


def _apply_plan(model, data, args, weights):
    plan = hh_keras.Plan.load(args.plan)
    wide = model
    if args.width_mult != 1:
        wide = widened(model, args)
    slim = hh_keras.rebuild(wide, plan, weights, args.seed)
    shape = open_shape(model, data.image_shape)
    costs = [hh_keras.cost(each, shape) for each in (model, wide, slim)]
    return hh_keras.ShrinkResult(slim, plan, wide, None, *costs)


def describe(model, image_shape):
    """Cost and channel counts of a model, as the report wants them."""
    cost = hh_keras.cost(model, image_shape)
    channel_map = hh_keras.trace(model)
    producers = {name for group in channel_map.groups for name in group.producers}
    return {
        "macs": int(cost.macs),
        "params": int(cost.params),
        "layers": [
            {
                "name": layer.name,
                "type": layer.type,
                "macs": int(layer.macs),
                "params": int(layer.params),
            }
            for layer in cost.layers
            if layer.macs or layer.params
        ],
        "channels": {
            name: len(ids)
            for name, ids in channel_map.outputs.items()
            if name in producers
        },
    }


def save_model(model, path):
    """Writes a `.keras` file in one step."""
    files.replace(path, model.save)


def load_saved(path):
    """Reads a `.keras` file."""
    return sources.from_file(path)


def epoch_seconds(model, data):
    """Forecasts one epoch of training from two forward passes over a batch.

    A backward pass costs about two forward ones.
    """
    forward = tf.function(lambda x: model(x, training=False))
    images, _ = next(iter(data.train))
    forward(images)
    started = time.perf_counter()
    forward(images)
    each = (time.perf_counter() - started) / len(images)
    return 3 * each * data.num_train


def search_summary(result):
    """Two lines on what the search did, for the screen."""
    before, wide, after = result.cost_before, result.cost_wide, result.cost_after
    ms = ""
    if result.latency:
        found = result.latency
        ms = (
            f"\n  latency    {found['original']:.3g} ms -> {found['predicted']:.3g} ms "
            f"predicted, limit {found['target']:.3g} ms"
        )
        if "measured" in found:
            ratio = found["measured"] / found["original"]
            ms += f"; measured {ratio:.3f} of the original's"
    return (
        f"  MACs       {millions(before.macs)} -> widened {millions(wide.macs)} -> "
        f"{millions(after.macs)} ({after.macs / before.macs:.1%} of the original)\n"
        f"  parameters {millions(before.params)} -> widened {millions(wide.params)} "
        f"-> {millions(after.params)} ({after.params / before.params:.1%}){ms}"
    )


def millions(count):
    """Formats a count: 1234567 -> "1.23 M"."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(int(count))


def first_images(dataset, count):
    """The first images of a dataset, float32 `(count, h, w, c)`; fewer if it ends."""
    taken = dataset.map(lambda images, _: images).unbatch().take(count)
    return np.stack(list(taken.as_numpy_iterator()))


def to_json(value):
    """JSON text of plain values, indented."""
    return json.dumps(value, indent=2) + "\n"


def scores_line(scores, examples):
    """One line of what an evaluation found."""
    if "psnr" in scores:
        return (
            f"PSNR {scores['psnr']:.2f} dB (of the input {scores['psnr_input']:.2f}), "
            f"SSIM {scores['ssim']:.4f}, loss {scores['loss']:.4g} on {examples:,} "
            "validation images"
        )
    top5 = scores.get("accuracy_top5")
    return (
        f"accuracy {scores['accuracy']:.2%}, "
        + (f"top-5 {top5:.2%}, " if top5 is not None else "")
        + f"loss {scores['loss']:.4f} on {examples:,} validation images"
    )
