"""The parts of launch/export.py: which networks, with which data, into which files."""

import dataclasses
import functools
import hashlib
import json
import pathlib
import time
from collections.abc import Callable

import keras

from hh_keras import export as library
from hh_keras.cli import search as steps
from hh_keras.cli import workdir
from hh_keras.cli.flags import FORMATS
from hh_keras.errors import DataError, HHError, ModelError, WorkdirError
from hh_keras.export import formats as exports
from hh_keras.tasks import classification
from hh_keras.tasks import registry as tasks
from hh_keras.tasks.restoration import tiles
from hh_keras.training import Recipe

# What a run and an export must have in common: the data, and how training sees them.
_OF_THE_RUN = (
    "dataset", "image_size", "limit", "memory_mb", "on_bad_image", "view", "batch_size",
    "seed", "augment", "rand_augment", "mixup", "cutmix", "label_smoothing",
    "learning_rate", "momentum", "task", "scale", "degrade", "patch", "channels",
    "patches_per_image", "validation_size", "tile",
)  # fmt: skip
_OF_A_SEARCH = ("original", "lw_dna")


def networks(args):
    """Finds what to export, and takes the data's flags from the run it came from.

    Args:
        args: flags; `workdir` and those in `_OF_THE_RUN` are filled in.

    Returns:
        Dict of name to what `--model` takes.

    Raises:
        HHError: neither or both of --run and --model.
        WorkdirError: --run is no finished run.
    """
    if (args.run is None) == (args.model is None):
        raise HHError(
            "give either --run=FOLDER, the folder of a launch/run.py, or --model "
            "(--help lists all flags)."
        )
    if args.model is not None:
        beside = pathlib.Path(args.model).parent / "run.json"
        if args.model.endswith(".keras") and beside.exists():
            _take_over(args, _config(beside))
        tasks.apply(args)
        args.workdir = args.workdir or "runs/export"
        return {args.name: args.model}
    folder = pathlib.Path(args.run)
    config = _config(folder / "run.json")
    searched = config.get("program") in ("run", "shrink")
    names = _OF_A_SEARCH if searched else (config.get("name", "model"),)
    found = {name: folder / f"{name}.keras" for name in names}
    for path in found.values():
        if not path.exists():
            raise WorkdirError(
                f"--run={folder} has no {path.name}: the run has not finished. Start "
                "it again with the same flags; it goes on where it was."
            )
    _take_over(args, config)
    tasks.apply(args)
    args.workdir = args.workdir or str(folder / "export")
    return {name: str(path) for name, path in found.items()}


def _config(path):
    try:
        config = json.loads(path.read_text(encoding="utf-8"))["config"]
        config.get("program")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise WorkdirError(
            f"{path} cannot be read as the record of a run; --run takes the folder "
            "that launch/run.py calls --workdir."
        ) from error
    return config


def _take_over(args, config):
    """Sets the flags that were not given to the run's."""
    for name in _OF_THE_RUN:
        if name in config and not args[name].present and config[name] is not None:
            value = config[name]
            args[name].value = tuple(value) if isinstance(value, list) else value


def digests(found):
    """What tells one network's file from another; a name stands for itself."""
    return {
        name: hashlib.sha256(pathlib.Path(model).read_bytes()).hexdigest()[:16]
        if pathlib.Path(model).is_file()
        else model
        for name, model in found.items()
    }


def export(run, name, model, args):
    """Writes and checks the files of one network that are asked for and not there yet.

    What is found tells of those made before, too.

    Args:
        run: the `launch.workdir.Run`.
        name: of the network.
        model: what `--model` takes.
        args: flags.

    Returns:
        `(found, data)`: see `launch.parity.write_report`.
    """
    args.model = model
    network, data = steps.load(args, labels=False)
    kit = _of_images if tasks.restores(args) else _of_classes
    kit = kit(network, data, args)
    workdir.claim(run)
    print(f"{name}: {model} on {data.name}", flush=True)
    expected = functools.cache(kit.expected)
    goal = tasks.of(args).goal
    keras_file = pathlib.Path(model)
    found = {
        goal: None,
        "bytes": keras_file.stat().st_size if keras_file.is_file() else None,
        "files": {},
        "left_out": {},
    }
    for kind, path in exports.paths(run.path, name, FORMATS).items():
        stage, file = f"{name} {kind}", str(path.relative_to(run.path))
        if not workdir.is_finished(run, stage, (file,)):
            if kind not in args.formats:
                continue
            try:
                made = functools.partial(kit.made, kind, path)
                _keep(run, stage, file, made, expected, goal)
            except HHError as error:
                asked = args["formats"].present or kind in exports.EXACT
                if asked or isinstance(error, WorkdirError):
                    raise
                found["left_out"][kind] = str(error)
                print(f"  {kind}: left out. {error}", flush=True)
                continue
        facts = run.stages[stage]
        found[goal] = facts[f"keras_{goal}"]
        found["files"][kind] = facts["row"]
        print(f"  {file}: {_line(facts['row'])}", flush=True)
    return found, data


def _keep(run, stage, file, made, expected, goal):
    """Makes one file and records what was found, so that it is made once."""
    started = time.perf_counter()
    row = {"file": file, **made(expected())}
    scored = {f"keras_{goal}": expected()[goal]}
    workdir.finish(run, stage, started, **scored, row=row)


@dataclasses.dataclass(frozen=True)
class _Kit:
    """How files are made and checked.

    Attributes:
        expected: function that returns what files are compared with.
        made: `made(kind, path, expected)` writes one and returns what was found.
    """

    expected: Callable
    made: Callable


def _of_classes(network, data, args):
    images = steps.first_images(data.validation, args.check_images)
    settings = {
        "labels": exports.labels_of(network, data.class_names),
        "view": exports.view(args),
        "representative": steps.first_images(data.search, args.representative_images),
        "integer_io": args.integer_io,
        "batch": args.tflite_batch,
    }

    def made(kind, path, expected):
        learnt = _learnt(network, data, args) if kind == "qat" else None
        exports.write(
            network if learnt is None else learnt,
            path,
            kind,
            data.image_shape,
            **settings,
        )
        found = exports.compare(path, expected, data.validation, images)
        return (
            found if learnt is None else {**found, **_simulated(learnt, path, images)}
        )

    return _Kit(functools.partial(_expected, network, data, images), made)


def _of_images(network, data, args):
    """The same for networks that restore images: they are given tiles."""
    task, side = tasks.of(args), tiles.side(network, args.tile)
    images = tiles.cut(data.validation, side, args.check_images)
    settings = {
        "labels": None,
        "encoded": task.encoded,
        "representative": tiles.patched(data.search, side, args.representative_images),
        "integer_io": args.integer_io,
        "batch": args.tflite_batch,
    }

    def made(kind, path, expected):
        if kind == "qat":
            raise ModelError(
                "training for int8 is for classifiers; int8 without it is measured "
                "above."
            )
        exports.write(network, path, kind, images.shape[1:], **settings)
        row = tiles.compare(task, network, path, expected, data, images)
        return {"bytes": exports.file_size(path), **row}

    expected = functools.partial(tiles.expectation, task, network, data, images)
    return _Kit(expected, made)


def _expected(network, data, images):
    try:
        classification.check_head(network, len(data.class_names))
        logits = classification.from_logits(network)
    except (DataError, ModelError):
        logits = None
    return exports.expectation(network, data.validation, images, logits)


def _simulated(learnt, path, images):
    """How training for int8 went, and whether its file computes what it did."""
    simulated, said = (library.predict(m, images) for m in (learnt.model, path))
    like = library.agreement([simulated], [said])
    return {
        "history": learnt.history,
        "simulated": {
            "relative": like.relative,
            "top1_agreement": like.top1_agreement,
            "examples": like.examples,
        },
    }


def _learnt(network, data, args):
    """The network trained for int8."""
    classification.check_head(network, len(data.class_names))
    recipe = Recipe(
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        momentum=args.momentum,
        label_smoothing=args.label_smoothing,
    )

    def tell(row):
        print(
            f"  qat: epoch {row['epoch']}/{args.qat_epochs}  loss {row['loss']:.4f}  "
            f"accuracy {row['accuracy']:.4f}  {row['seconds']:.0f} s",
            flush=True,
        )

    keras.utils.set_random_seed(args.seed)
    return library.quantization_aware(
        network,
        data,
        recipe,
        epochs=args.qat_epochs,
        learning_rate=args.qat_learning_rate,
        calibration_images=args.representative_images,
        tell=tell,
    )


def _line(row):
    """One line on a file, for the screen."""
    if "psnr" in row:
        return (
            f"{steps.millions(row['bytes'])}B, PSNR {row['psnr']:.2f} dB, "
            f"{row['psnr_to_keras']:.1f} dB to Keras, {exports.parity_line(row)}"
        )
    accuracy = ""
    if row["accuracy"] is not None:
        accuracy = f"accuracy {row['accuracy']:.2%}, "
    return (
        f"{steps.millions(row['bytes'])}B, {accuracy}same class "
        f"{row['top1_agreement']:.2%}, {exports.parity_line(row)}"
    )
