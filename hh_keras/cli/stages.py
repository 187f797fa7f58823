"""The stages of launch/run.py.

Each ends with its files written and recorded in run.json, and is skipped when the
same run has finished it before.
"""

import dataclasses
import functools
import json
import shlex
import textwrap
import time

import hh_keras
from hh_keras import export as exporting
from hh_keras import files
from hh_keras.cli import search as steps
from hh_keras.cli.flags import merge_min_keep
from hh_keras.cli.workdir import claim, finish, is_finished, versions
from hh_keras.export import formats as exports
from hh_keras.graph.table import text_table
from hh_keras.tasks import registry as tasks
from hh_keras.tasks.restoration import tiles
from hh_keras.training import checkpoints
from hh_keras.training.history import read_history

TITLES = {"original": "original", "lw_dna": "LW-DNA network"}
NAMES = tuple(TITLES)
_SHOWN = 3  # images before and after, in the report
_EXPORT_SECONDS = 40  # what the stages after training take on two cores


def header(started, number, title, left=None):
    """Prints a stage's title with the time so far and what remains."""
    minutes, seconds = divmod(int(time.perf_counter() - started), 60)
    rest = "" if left is None else f" (about {_duration(left)} to go)"
    print(f"\n[{minutes}:{seconds:02d}] {number}/5 {title}{rest}", flush=True)


def _duration(seconds):
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def search(run, model, data, args):
    """Finds the smaller network; leaves plan.json and both networks, untrained."""
    needed = ("plan.json", *(f"initial/{name}.keras" for name in NAMES))
    if is_finished(run, "search", needed):
        print("  done before in this workdir, reused")
        return
    started = time.perf_counter()
    original, result = steps.search(model, data, args, run)
    seconds = time.perf_counter() - started
    if run.chief:
        _keep_search(run, original, result)
    steps.wait_for_all(args)
    print(steps.search_summary(result))
    budget = steps.budget(model, data.image_shape, args, run)
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
    steps.save_model(original, run.path / "initial/original.keras")
    steps.save_model(result.model, run.path / "initial/lw_dna.keras")


def forecast(run, data, recipe):
    """Estimates the seconds from here to the end of the run."""
    model = steps.load_saved(run.path / "initial/original.keras")
    each = recipe.epochs * steps.epoch_seconds(model, data) + 15
    left = sum(f"train {name}" not in run.stages for name in NAMES)
    return left * each + _EXPORT_SECONDS


def training(run, name, data, recipe, args):
    """Trains one of the networks; all see the same batches in the same order.

    Args:
        name: "original", "lw_dna" or "wide".
    """
    stage, file = f"train {name}", f"{name}.keras"
    if is_finished(run, stage, (file, f"history/{name}.jsonl")):
        print("  done before in this workdir, reused")
        return
    started = time.perf_counter()
    data = steps.again(args, data)
    build = functools.partial(_initial, run, name, args)
    model, rows = steps.train(build, data, recipe, args, run, name)
    if not run.chief:
        return
    train_seconds = sum(row["seconds"] for row in rows)
    scores = tasks.of(args).evaluate(model, data.validation)
    steps.save_model(model, run.path / file)
    finish(
        run,
        stage,
        started,
        train_seconds=round(train_seconds, 2),
        scores=scores,
        skipped=data.skipped,
    )
    checkpoints.remove(run.path / "checkpoints", name)
    print(f"  {steps.scores_line(scores, data.num_validation)}")


def _initial(run, name, args):
    """A network as training finds it."""
    if name != "wide":
        return steps.load_saved(run.path / f"initial/{name}.keras")
    original = steps.load_saved(run.path / "initial/original.keras")
    return steps.widened(original, args)


def deployment(run, data, args):
    """Exports both networks, checks the files, measures their latency."""
    needed = [
        str(path.relative_to(run.path))
        for name in NAMES
        for path in exports.paths(run.path, name, exports.EXACT).values()
    ]
    if is_finished(run, "export", needed):
        print("  done before in this workdir, reused")
        return
    started = time.perf_counter()
    models = {name: steps.load_saved(run.path / f"{name}.keras") for name in NAMES}
    images, parity = _checked_on(models, data, args), {}
    for name, model in models.items():
        parity[name] = exports.write_exact(
            model,
            run.path,
            name,
            images,
            data.class_names,
            exports.view(args),
            tasks.of(args).encoded,
        )
        for kind, each in parity[name].items():
            print(f"  {name} {kind}: {exports.parity_line(each)}")
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


def _checked_on(models, data, args):
    """What exported files take: validation images, or tiles of them."""
    if not tasks.restores(args):
        return steps.first_images(data.validation, args.check_images)
    # One size for both networks, or their latencies could not be compared.
    side = max(tiles.side(model, args.tile) for model in models.values())
    return tiles.cut(data.validation, side, args.check_images)


def results(run, data, recipe, args, seconds):
    """Collects what the run found, as `hh_keras.report` takes it."""
    searched, exported = run.stages["search"], run.stages["export"]
    planned = hh_keras.Plan.load(run.path / "plan.json").notes
    found = {name: _model_results(run, name, data.image_shape) for name in NAMES}
    skipped = dict(data.skipped)
    for name in NAMES:
        skipped.update(run.stages[f"train {name}"].get("skipped", {}))
    return {
        "title": f"{args.model} on {data.name}",
        "goal": tasks.of(args).goal,
        "command": "python launch/run.py " + " ".join(_changed_flags(args)),
        "dataset": {
            **data.description,
            "name": data.name,
            **_examples(args, data),
            "num_validation": data.num_validation,
            "image_shape": list(data.image_shape),
            **_tile(args, exported),
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
            "weights": steps.initial_weights(args),
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


def _examples(args, data):
    if tasks.restores(args):
        return {"patches per epoch": data.num_train}
    return {"classes": list(data.class_names), "num_train": data.num_train}


def _tile(args, exported):
    """The size of the tiles that the files take, for the report."""
    if not tasks.restores(args):
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
    model = steps.load_saved(path)
    return {
        **trained["scores"],
        **steps.describe(model, image_shape),
        "keras_bytes": path.stat().st_size,
        "tflite_bytes": (run.path / f"{name}.tflite").stat().st_size,
        "latency_ms": run.stages["export"]["latency_ms"][name],
        "train_seconds": trained["train_seconds"],
    }


def write_report(run, found, data, args):
    """Writes results.json, report.html and the pictures."""
    from hh_keras import report

    files.write(run.path / "results.json", steps.to_json(found))
    report.write_report(run.path, found, _before_and_after(run, data, args))


def _before_and_after(run, data, args):
    """Images as they were, as both networks make them, and the clean ones."""
    preview, rows = tasks.of(args).preview, {}
    if preview is None:
        return []
    for name in NAMES:
        model = steps.load_saved(run.path / f"{name}.keras")
        for place, row in enumerate(preview(model, data.validation, _SHOWN)):
            output = row.pop("output")
            rows.setdefault(place, row)[name] = output
    return list(rows.values())


def _accuracy_row(original, slim):
    before, after = original["accuracy"], slim["accuracy"]
    change = f"{100 * (after - before):+.2f} points"
    return "accuracy", f"{before:.2%}", f"{after:.2%}", change


def _psnr_row(original, slim):
    before, after = original["psnr"], slim["psnr"]
    return "PSNR", f"{before:.2f} dB", f"{after:.2f} dB", f"{after - before:+.2f} dB"


_GOAL_ROWS = {"accuracy": _accuracy_row, "psnr": _psnr_row}


def table(found):
    """The comparison as a few lines of text."""
    original, slim = (found["models"][name] for name in NAMES)
    rows = [_GOAL_ROWS[found["goal"]](original, slim)]
    for label, key, unit in (
        ("MACs", "macs", ""),
        ("parameters", "params", ""),
        (".tflite size", "tflite_bytes", "B"),
    ):
        rows.append(
            (
                label,
                steps.millions(original[key]) + unit,
                steps.millions(slim[key]) + unit,
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
