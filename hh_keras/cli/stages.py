"""The stages of a run.

Each ends with its files written and recorded in run.json, and is skipped when the
same run has finished it before.
"""

import dataclasses
import functools
import json
import shlex
import textwrap
import time

import keras
from absl.flags import FlagValues

import hh_keras
from hh_keras import export as exporting
from hh_keras import files, report
from hh_keras.cli import network, training
from hh_keras.cli import search as searching
from hh_keras.cli.flags import merge_min_keep
from hh_keras.cli.workdir import Run, claim, finish, is_finished, to_json, versions
from hh_keras.data import ImageData
from hh_keras.export import formats
from hh_keras.goal import Goal
from hh_keras.graph.table import text_table
from hh_keras.report.numbers import millions
from hh_keras.tasks import registry
from hh_keras.training import Recipe, checkpoints
from hh_keras.training.history import read_history

TITLES = {"original": "original", "lw_dna": "LW-DNA network"}
NAMES = tuple(TITLES)
_EXPORT_SECONDS = 40  # what the stages after training take on two cores


def header(started: float, number: int, title: str, left: float | None = None) -> None:
    """Prints a stage's title with the time so far and what remains."""
    minutes, seconds = divmod(int(time.perf_counter() - started), 60)
    rest = "" if left is None else f" (about {_duration(left)} to go)"
    print(f"\n[{minutes}:{seconds:02d}] {number}/5 {title}{rest}", flush=True)


def _duration(seconds):
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def search(run: Run, model: keras.Model, data: ImageData, args: FlagValues) -> None:
    """Finds the smaller network; leaves plan.json and both networks, untrained."""
    needed = ("plan.json", *(f"initial/{name}.keras" for name in NAMES))
    if is_finished(run, "search", needed):
        print("  done before in this workdir, reused")
        return
    started = time.perf_counter()
    original, result = searching.search(model, data, args, run)
    seconds = time.perf_counter() - started
    if run.chief:
        _keep_search(run, original, result)
    training.wait_for_all(args)
    print(searching.summary(result))
    budget = searching.budget(model, data.image_shape, args, run)
    finish(
        run,
        "search",
        started,
        search_seconds=round(seconds, 2),
        budget={
            "macs": budget.macs,
            "params": budget.params,
            "latency_ms": budget.latency_ms,
        },
        latency=result.latency,
    )


def _keep_search(run, original, result):
    claim(run)
    result.plan.save(run.path / "plan.json")
    network.save_model(original, run.path / "initial/original.keras")
    network.save_model(result.model, run.path / "initial/lw_dna.keras")


def forecast(run: Run, data: ImageData, recipe: Recipe) -> float:
    """Estimates the seconds from here to the end of the run."""
    model = network.load_saved(run.path / "initial/original.keras")
    each = recipe.epochs * network.epoch_seconds(model, data) + 15
    left = sum(f"train {name}" not in run.stages for name in NAMES)
    return left * each + _EXPORT_SECONDS


def train(
    run: Run, name: str, data: ImageData, recipe: Recipe, args: FlagValues
) -> None:
    """Trains one of the networks; all see the same batches in the same order.

    Args:
        name: "original", "lw_dna" or "wide".
    """
    stage, file = f"train {name}", f"{name}.keras"
    if is_finished(run, stage, (file, f"history/{name}.jsonl")):
        print("  done before in this workdir, reused")
        return
    started = time.perf_counter()
    application = registry.application(args)
    data = application.reload(args, data)
    build = functools.partial(_initial, run, name, args)
    model, rows = training.train(build, data, recipe, args, run, name)
    if not run.chief:
        return
    train_seconds = sum(row["seconds"] for row in rows)
    scores = application.task.evaluate(model, data.validation)
    network.save_model(model, run.path / file)
    finish(
        run,
        stage,
        started,
        train_seconds=round(train_seconds, 2),
        scores=scores,
        skipped=data.skipped,
    )
    checkpoints.remove(run.path / "checkpoints", name)
    print(f"  {training.scores_line(application, scores, data.num_validation)}")


def _initial(run, name, args):
    """A network as training finds it."""
    if name != "wide":
        return network.load_saved(run.path / f"initial/{name}.keras")
    original = network.load_saved(run.path / "initial/original.keras")
    return searching.widened(original, args)


def deploy(run: Run, data: ImageData, args: FlagValues) -> None:
    """Exports both networks, checks the files, measures their latency."""
    needed = [
        str(path.relative_to(run.path))
        for name in NAMES
        for path in formats.paths(run.path, name, formats.EXACT).values()
    ]
    if is_finished(run, "export", needed):
        print("  done before in this workdir, reused")
        return
    started = time.perf_counter()
    models = {name: network.load_saved(run.path / f"{name}.keras") for name in NAMES}
    application = registry.application(args)
    images, parity = application.check_images(models, data, args), {}
    for name, model in models.items():
        parity[name] = formats.write_exact(
            model,
            run.path,
            name,
            images,
            data.class_names,
            application.view(args),
            application.task.encoded,
        )
        for kind, each in parity[name].items():
            print(f"  {name} {kind}: {formats.parity_line(each)}")
    paths = [run.path / f"{name}.tflite" for name in NAMES]
    latencies = exporting.latencies(paths, images.shape[1:])
    finish(
        run,
        "export",
        started,
        parity=parity,
        image_shape=list(images.shape[1:]),
        latency_ms={
            name: {"median": each.median_ms, "p10": each.p10_ms, "p90": each.p90_ms}
            for name, each in zip(NAMES, latencies, strict=True)
        },
    )


def results(
    run: Run, data: ImageData, recipe: Recipe, args: FlagValues, seconds: float
) -> dict:
    """Collects what the run found, as `hh_keras.report` takes it."""
    searched, exported = run.stages["search"], run.stages["export"]
    planned = hh_keras.Plan.load(run.path / "plan.json").notes
    found = {name: _model_results(run, name, data.image_shape) for name in NAMES}
    application = registry.application(args)
    skipped = dict(data.skipped)
    for name in NAMES:
        skipped.update(run.stages[f"train {name}"].get("skipped", {}))
    return {
        "title": f"{args.model} on {data.name}",
        "goal": application.task.goal.key,
        "command": "python launch/run.py " + " ".join(_changed_flags(args)),
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
            "seed": args.seed,
            "seconds": searched["search_seconds"],
        },
        "protocol": dataclasses.asdict(recipe),
        "models": found,
        "history": {name: read_history(run.path, name) for name in NAMES},
        "parity": exported["parity"]["lw_dna"],
        "parity_original": exported["parity"]["original"],
        "versions": versions(),
        "seconds": {
            **{stage: facts["seconds"] for stage, facts in run.stages.items()},
            "this start": round(seconds, 1),
        },
    }


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


def _changed_flags(args):
    """The flags that were given, as they would be written again."""
    given = [args[name] for name in args if args[name].present]
    return [
        shlex.quote(f"--{flag.name}={_text(flag.value)}")
        for flag in given
        if flag.name != "workdir"
    ]


def _text(value):
    if isinstance(value, tuple):
        return "x".join(str(size) for size in value)
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def _model_results(run, name, image_shape):
    trained = run.stages[f"train {name}"]
    path = run.path / f"{name}.keras"
    model = network.load_saved(path)
    return {
        **trained["scores"],
        **network.describe(model, image_shape),
        "keras_bytes": path.stat().st_size,
        "tflite_bytes": (run.path / f"{name}.tflite").stat().st_size,
        "latency_ms": run.stages["export"]["latency_ms"][name],
        "train_seconds": trained["train_seconds"],
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
    for label, key, unit in (
        ("MACs", "macs", ""),
        ("parameters", "params", ""),
        (".tflite size", "tflite_bytes", "B"),
    ):
        rows.append(
            (
                label,
                millions(original[key]) + unit,
                millions(slim[key]) + unit,
                f"{slim[key] / original[key] - 1:+.1%}",
            )
        )
    medians = [model["latency_ms"]["median"] for model in (original, slim)]
    rows.append(
        (
            "latency (.tflite)",
            f"{medians[0]:.2f} ms",
            f"{medians[1]:.2f} ms",
            f"{medians[1] / medians[0] - 1:+.1%}",
        )
    )
    lines = text_table(("", "original", "LW-DNA", "change"), rows, right=(1, 2, 3))
    return textwrap.indent(lines, "  ")
