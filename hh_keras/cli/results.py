"""What a run found: results.json, the report, the lines on the screen."""

import dataclasses
import json
import shlex
import textwrap

from absl.flags import FlagValues

import hh_keras
from hh_keras import files, report
from hh_keras.cli import network
from hh_keras.cli import search as searching
from hh_keras.cli.flags import merge_min_keep
from hh_keras.cli.naming import as_started
from hh_keras.cli.stages import NAMES
from hh_keras.cli.workdir import Run, to_json, versions
from hh_keras.data import ImageData
from hh_keras.goal import Goal
from hh_keras.graph.table import some, text_table
from hh_keras.report.numbers import millions, milliseconds
from hh_keras.tasks import registry
from hh_keras.training import Recipe
from hh_keras.training.history import read_history

_INDENTED: dict = {
    "initial_indent": "  ",
    "subsequent_indent": "  ",
    "break_long_words": False,
    "break_on_hyphens": False,
}


def collect(
    run: Run, data: ImageData, recipe: Recipe, args: FlagValues, seconds: float
) -> dict:
    """Collects what the run found, as `hh_keras.report` takes it."""
    searched, exported = run.stages["search"], run.stages["export"]
    planned = hh_keras.Plan.load(run.path / "plan.json").notes
    application = registry.application(args)
    found = {
        name: _model_results(run, name, data.image_shape, application.parts)
        for name in NAMES
    }
    skipped = dict(data.skipped)
    for name in NAMES:
        skipped.update(run.stages[f"train {name}"].get("skipped", {}))
    return {
        "title": f"{args.model} on {data.name}",
        "goal": application.task.goal.key,
        "command": as_started("python launch/run.py ") + " ".join(_changed_flags(args)),
        "dataset": {
            **data.description,
            "name": data.name,
            **application.facts(data),
            "num_validation": data.num_validation,
            "image_shape": list(data.image_shape),
            **_tile(application, exported),
            **_left_out(skipped),
        },
        "skipped": skipped,
        "budget": {
            **searched["budget"],
            "macs_flag": str(args.macs),
            "params_flag": str(args.params),
        },
        "search": {
            "criterion": planned.get("criterion"),
            "batches": planned.get("batches"),
            "per_cost": args.per_cost,
            "width_mult": args.width_mult,
            "min_keep": merge_min_keep(args.min_keep),
            "round_to": args.round_to,
            "weights": searching.initial_weights(args),
            **({"calibrated on": args.calibrate} if args.calibrate else {}),
            **_left_alone(planned),
            "seed": args.seed,
            "seconds": searched["search_seconds"],
        },
        "kept": searched.get("kept"),
        "sweep": searched.get("sweep"),
        "protocol": {
            **dataclasses.asdict(recipe),
            "batch_size": data.description.get("batch_size", recipe.batch_size),
            **_epochs_run(run, recipe),
        },
        "models": found,
        "history": {name: _history(run, name) for name in NAMES},
        "layer_times": exported.get("layer_times") or [],
        "parity": exported["parity"]["lw_dna"],
        "parity_original": exported["parity"]["original"],
        "versions": versions(),
        "seconds": {
            **{stage: facts["seconds"] for stage, facts in run.stages.items()},
            "this start": round(seconds, 1),
        },
    }


def _history(run, name):
    """The rows of a training; an original that was the teacher has none."""
    try:
        return read_history(run.path, name)
    except FileNotFoundError:
        return []


def _epochs_run(run, recipe):
    """How many epochs there were, where a time or patience ended trainings."""
    found = {name: len(_history(run, name)) for name in NAMES}
    found = {name: n for name, n in found.items() if n}
    return {"epochs_run": found} if set(found.values()) - {recipe.epochs} else {}


def _tile(application, exported):
    """The size of the tiles that the files take, for the report."""
    if application.task.goal.examples != "tiles":
        return {}
    return {"tflite_tile": exported["image_shape"]}


def _left_out(skipped):
    """A line on the images that could not be read, for the report."""
    if not skipped:
        return {}
    named = [f"{place} ({reason})" for place, reason in list(skipped.items())[:10]]
    more = f" and {len(skipped) - 10} more" if len(skipped) > 10 else ""
    return {"left out": f"{len(skipped)} images: {'; '.join(named)}{more}"}


def _left_alone(notes):
    """The groups that --only and --freeze left alone, for the report."""
    names = notes.get("left_alone")
    return {"left alone": some(names, 20)} if names else {}


def _changed_flags(args):
    """The flags that were given, as they would be written again."""
    given = [args[name] for name in args if args[name].present]
    return [
        shlex.quote(f"--{flag.name}={_text(flag.name, flag.value)}")
        for flag in given
        if flag.name != "workdir"
    ]


def _text(name, value):
    if isinstance(value, tuple):
        return ("x" if name == "image_size" else ",").join(map(str, value))
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def _model_results(run, name, image_shape, parts):
    trained = run.stages[f"train {name}"]
    path = run.path / f"{name}.keras"
    model = network.load_saved(path)
    return {
        **trained["scores"],
        **network.describe(model, image_shape),
        "keras_bytes": path.stat().st_size,
        "tflite_bytes": sum(
            (run.path / f"{name}{part}.tflite").stat().st_size for part in parts
        ),
        "latency_ms": run.stages["export"]["latency_ms"][name],
        "train_seconds": trained["train_seconds"],
        "discarded": trained.get("discarded", False),
    }


def write_report(run: Run, found: dict, data: ImageData, args: FlagValues) -> None:
    """Writes results.json, report.html and the pictures."""
    application = registry.application(args)
    paths = {name: run.path / f"{name}.keras" for name in NAMES}
    pictures = application.pictures(paths, data)
    files.write(run.path / "results.json", to_json(found))
    report.write_report(run.path, found, application.task.goal, pictures)


def table(found: dict, goal: Goal) -> str:
    """The comparison as a few lines of text."""
    original, slim = (found["models"][name] for name in NAMES)
    scores = [each[goal.key] for each in (original, slim)]
    change = goal.plain_change(scores[1] - scores[0])
    rows = [(goal.label, *map(goal.plain, scores), change)]
    for label, quantity, write in (
        ("latency (.tflite)", _median, milliseconds),
        (".tflite size", lambda m: m["tflite_bytes"], lambda n: millions(n) + "B"),
        ("MACs", lambda m: m["macs"], millions),
        ("parameters", lambda m: m["params"], millions),
    ):
        before, after = map(quantity, (original, slim))
        change = f"{after / before - 1:+.1%}"
        rows.append((label, write(before), write(after), change))
    lines = text_table(("", "original", "LW-DNA", "change"), rows, right=(1, 2, 3))
    text = textwrap.indent(lines, "  ")
    why = report.cause(found)
    if why:
        text += "\n\n" + textwrap.fill(why, 86, **_INDENTED)
    return text


def _median(model):
    return model["latency_ms"]["median"]
