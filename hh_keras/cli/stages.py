"""The stages of a run.

Each ends with its files written and recorded in run.json, and is skipped when the
same run has finished it before.
"""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable

import keras
from absl.flags import FlagValues

from hh_keras import export as exporting
from hh_keras import latency, report
from hh_keras.cli import findings, limits, network, training
from hh_keras.cli import search as searching
from hh_keras.cli import sweep as sweeping
from hh_keras.cli.recovery import original_teaches
from hh_keras.cli.workdir import Run, claim, finish, is_finished
from hh_keras.data import ImageData, example_shape
from hh_keras.errors import HHError
from hh_keras.export import formats
from hh_keras.progress import duration
from hh_keras.tasks import registry
from hh_keras.training import Recipe, Trained, checkpoints

TITLES = {"original": "original", "lw_dna": "LW-DNA network"}
NAMES = tuple(TITLES)


def header(started: float, number: int, title: str, left: float | None = None) -> None:
    """Prints a stage's title with the time so far and what remains."""
    rest = "" if left is None else f" (about {duration(left)} to go)"
    stamp(started, f"{number}/5 {title}{rest}")


def stamp(started: float, text: str) -> None:
    """Prints a text behind the time so far."""
    minutes, seconds = divmod(int(time.perf_counter() - started), 60)
    print(f"\n[{minutes}:{seconds:02d}] {text}", flush=True)


def search(run: Run, model: keras.Model, data: ImageData, args: FlagValues) -> None:
    """Finds the smaller network; leaves plan.json and both networks, untrained."""
    needed = ("plan.json", *(f"initial/{name}.keras" for name in NAMES))
    if is_finished(run, "search", needed):
        print("  done before in this workdir, reused")
        return
    started = time.perf_counter()
    original, result, sweep = searching.search(model, data, args, run)
    seconds = time.perf_counter() - started
    rows = []
    if run.chief:
        _keep_search(run, original, result)
        print(findings.summary(result))
        rows = sweeping.keep(run, original, result, sweep, data, args)
    training.wait_for_all(args)
    budget = limits.budget(model, data.image_shape, args, run)
    finish(
        run,
        "search",
        started,
        needed,
        search_seconds=round(seconds, 2),
        budget={
            "macs": budget.macs,
            "params": budget.params,
            "latency_ms": budget.latency_ms,
        },
        latency=result.latency,
        kept=findings.kept_facts(result.kept),
        sweep=rows,
    )


def _keep_search(run, original, result):
    claim(run)
    result.plan.save(run.path / "plan.json")
    network.save_model(original, run.path / "initial/original.keras")
    network.save_model(result.model, run.path / "initial/lw_dna.keras")


def train(
    run: Run,
    name: str,
    data: ImageData,
    recipe: Recipe,
    args: FlagValues,
    to_go: Callable[[float, float], float] | None = None,
) -> None:
    """Trains one of the networks; all see the same batches in the same order.

    An original that is the teacher is trained already: it stays as it is.

    Args:
        name: "original", "lw_dna" or "wide".
        to_go: as of `hh_keras.training.train`.
    """
    stage, file = f"train {name}", f"{name}.keras"
    untrained = name == "original" and original_teaches(args)
    needed = (file,) if untrained else (file, f"history/{name}.jsonl")
    if is_finished(run, stage, needed):
        print("  done before in this workdir, reused")
        return
    started = time.perf_counter()
    application = registry.application(args)
    data = application.reload(args, data)
    build = functools.partial(_initial, run, name, args)
    trained = _trained(run, name, build, data, recipe, args, to_go)
    if not run.chief:
        return
    train_seconds = sum(row["seconds"] for row in trained.history)
    scores = application.task.evaluate(trained.model, data.validation)
    network.save_model(trained.model, run.path / file)
    finish(
        run,
        stage,
        started,
        needed,
        train_seconds=round(train_seconds, 2),
        scores=scores,
        discarded=trained.discarded,
        skipped=data.skipped,
    )
    checkpoints.remove(run.path / "checkpoints", name)
    print(f"  {training.scores_line(application, scores, data.num_validation)}")


def _trained(run, name, build, data, recipe, args, to_go):
    teacher = None
    if original_teaches(args):
        if name == "original":
            return Trained(build(), [])
        teacher = run.path / "initial/original.keras"
    return training.train(build, data, recipe, args, run, name, teacher, to_go)


def _initial(run, name, args):
    """A network as training finds it."""
    if name != "wide":
        return network.load_saved(run.path / f"initial/{name}.keras")
    original = network.load_saved(run.path / "initial/original.keras")
    return searching.widened(original, args)


def deploy(run: Run, data: ImageData, args: FlagValues) -> None:
    """Exports both networks, checks the files, measures their latency."""
    application = registry.application(args)
    suffixes = application.parts
    needed = [
        str(path.relative_to(run.path))
        for name, suffix in itertools.product(NAMES, suffixes)
        for path in formats.paths(run.path, name + suffix, formats.EXACT).values()
    ]
    if is_finished(run, "export", needed):
        print("  done before in this workdir, reused")
        return
    started = time.perf_counter()
    models = {name: network.load_saved(run.path / f"{name}.keras") for name in NAMES}
    parts = application.deployed(models, data, args)
    parity: dict[str, dict] = {}
    for name, suffix in itertools.product(NAMES, suffixes):
        part = parts[name][suffix]
        found = formats.write_exact(
            part.network,
            run.path,
            name + suffix,
            part.inputs,
            data.class_names,
            application.view(args),
            application.task.encoded,
            part.about,
            part.read,
        )
        for kind, each in found.items():
            print(f"  {name}{suffix} {kind}: {formats.parity_line(each)}")
            parity.setdefault(name, {})[f"{suffix} {kind}".strip(" _")] = each
    last = suffixes[-1]  # runs on every image
    paths = [run.path / f"{name}{last}.tflite" for name in NAMES]
    shape = example_shape(parts[NAMES[0]][last].inputs)
    running = {name: parts[name][last].network for name in NAMES}
    times = _latency_facts(exporting.latencies(paths, shape))
    finish(
        run,
        "export",
        started,
        needed,
        parity=parity,
        image_shape=list(shape),
        latency_ms=times,
        layer_times=_layer_times(running, times, shape),
    )


def _latency_facts(models):
    original, slim = (
        {"median": each.median_ms, "p10": each.p10_ms, "p90": each.p90_ms}
        for each in models
    )
    ratios = {"ratio_p25": models[1].ratio_p25, "ratio_p75": models[1].ratio_p75}
    return {"original": original, "lw_dna": {**slim, **ratios}}


def _layer_times(models: dict, times: dict, image_shape: tuple) -> list[dict]:
    """Times layer by layer, if latency rose: what the report says about the cause."""
    if not report.lengthened(times["lw_dna"]):
        return []
    print("  the LW-DNA network takes longer: timing its layers ...", flush=True)
    try:
        original, slim = (models[name] for name in NAMES)
        found = latency.layer_times(original, slim, input_shape=image_shape)
    except HHError as error:
        print(f"  layers cannot be timed: {error}")
        return []
    return [dataclasses.asdict(each) for each in found]
