"""An export: which networks, with which data, into which files."""

import functools
import hashlib
import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from absl.flags import FlagValues

from hh_keras import models
from hh_keras.cli import network, workdir
from hh_keras.cli.flags import ALL_FORMATS
from hh_keras.cli.workdir import Run
from hh_keras.data import ImageData
from hh_keras.errors import HHError, WorkdirError
from hh_keras.export import formats
from hh_keras.report.numbers import file_size
from hh_keras.tasks import registry

# What a run and an export must have in common: the data, and how training sees them.
_OF_THE_RUN = (
    "dataset", "image_size", "limit", "memory_mb", "on_bad_image", "view", "batch_size",
    "seed", "augment", "rand_augment", "mixup", "cutmix", "label_smoothing",
    "learning_rate", "momentum", "task", "tile",
    *(flag.name for flag in registry.flags()),
)  # fmt: skip
_OF_A_SEARCH = ("original", "lw_dna")


def networks(args: FlagValues) -> dict[str, str]:
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
        if models.is_keras_file(args.model) and beside.exists():
            _take_over(args, _config(beside))
        registry.prepare(args)
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
    registry.prepare(args)
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


def digests(found: Mapping[str, str]) -> dict[str, str]:
    """What tells one network's file from another; a name stands for itself."""
    return {
        name: hashlib.sha256(pathlib.Path(model).read_bytes()).hexdigest()[:16]
        if pathlib.Path(model).is_file()
        else model
        for name, model in found.items()
    }


def export(run: Run, name: str, model: str, args: FlagValues) -> tuple[dict, ImageData]:
    """Writes and checks the files of one network that are asked for and not there yet.

    What is found tells of those made before, too.

    Args:
        run: the `hh_keras.cli.workdir.Run`.
        name: of the network.
        model: what `--model` takes.
        args: flags.

    Returns:
        `(found, data)`: see `hh_keras.cli.parity_report.write_report`.
    """
    args.model = model
    application = registry.application(args)
    made, data = network.load(args, check=False)
    checks = application.files(made, data, args)
    workdir.claim(run)
    print(f"{name}: {model} on {data.name}", flush=True)
    expected = functools.cache(checks.expected)
    goal = application.task.goal.key
    keras_file = pathlib.Path(model)
    found: dict[str, Any] = {
        goal: None,
        "bytes": keras_file.stat().st_size if keras_file.is_file() else None,
        "files": {},
        "left_out": {},
    }
    file_name = name + application.parts[-1]
    for kind, path in formats.paths(run.path, file_name, ALL_FORMATS).items():
        stage, file = f"{name} {kind}", str(path.relative_to(run.path))
        if not workdir.is_finished(run, stage, (file,)):
            if kind not in args.formats:
                continue
            try:
                make = functools.partial(_made, checks, kind, path, made)
                _keep(run, stage, file, make, expected, goal)
            except HHError as error:
                asked = args["formats"].present or kind in formats.EXACT
                if asked or isinstance(error, WorkdirError):
                    raise
                found["left_out"][kind] = str(error)
                print(f"  {kind}: left out. {error}", flush=True)
                continue
        facts = run.stages[stage]
        found[goal] = facts[f"keras_{goal}"]
        found["files"][kind] = facts["row"]
        print(f"  {file}: {_line(facts['row'], application.words)}", flush=True)
    return found, data


def _made(checks, kind, path, network, expected):
    found = checks.make(kind, path, expected)
    return {**found, "tolerance": formats.tolerance(network)}


def _keep(run, stage, file, make, expected, goal):
    """Makes one file and records what was found, so that it is made once."""
    started = time.perf_counter()
    row = {"file": file, **make(expected())}
    scored = {f"keras_{goal}": expected()[goal]}
    workdir.finish(run, stage, started, (file,), **scored, row=row)


def _line(row, words):
    """One line on a file, for the screen."""
    return f"{file_size(row['bytes'])}, {words.line(row)}, {formats.parity_line(row)}"
