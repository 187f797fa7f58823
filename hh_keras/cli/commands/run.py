"""The whole job: search a better network, train it beside its original, report.

The network is widened, its channels are scored on a few batches, and the best ones
that fit the budget become the LW-DNA network. Both networks are trained by the same
recipe, exported, checked and measured.

    python launch/run.py                                  # clothes, MobileNetV2
    python launch/run.py --model=mobilenetv2_small --macs=0.8x --workdir=runs/small
    python launch/run.py --dataset=photos/ --image_size=64 --epochs=60 \\
        --augment=crop_flip --workdir=runs/photos
    python launch/run.py --limit=256 --epochs=1 --workdir=runs/try    # a quick try
    python launch/run.py --task=denoise --workdir=runs/denoise
    python launch/run.py --task=sr --scale=2 --dataset=holiday/ --workdir=runs/larger
    python launch/run.py --task=track --workdir=runs/track

The first line takes four to five minutes on two cores. Open report.html afterwards.

Leaves in --workdir: report.html (with pictures/), results.json, plan.json,
original.keras and lw_dna.keras (trained), saved_model/original and
saved_model/lw_dna (for TF Serving, version 1), original.tflite and lw_dna.tflite,
history/*.csv and *.jsonl (one row per epoch), initial/*.keras (before training),
run.json (all settings). Started again with the same flags, it goes on behind the
last finished stage, and within a training from its last checkpoint.
"""

import time

from absl.flags import FlagValues

from hh_keras.cli import flags, naming, program

GROUPS = {
    "Settings": flags.CONFIG,
    "Task": flags.TASK,
    "Model": (flags.model_flag("mobilenetv2_tiny"), *flags.MODEL_ARGS),
    "Data": flags.DATA,
    "Search": flags.SEARCH,
    "Training": (flags.BATCH_SIZE, *flags.TRAINING, *flags.RESUME),
    "Inherited weights": flags.RECOVERY,
    "Teacher": flags.DISTILLATION,
    "Devices": flags.DEVICES,
    "Other": (
        flags.STAGE,
        flags.CHECK_IMAGES,
        flags.TILE,
        flags.SEED,
        *flags.workdir_flags("runs/run"),
    ),
}


def main(args: FlagValues) -> None:
    started = time.perf_counter()
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras.cli import network, results, search, stages, training
    from hh_keras.cli.forecast import Forecast
    from hh_keras.tasks import registry

    search.prepare(args)
    run = training.open_run(args, "run")
    recipe = training.recipe(args)
    # The data of an own task need not be those of --dataset.
    on = "" if registry.is_own(args.task) else f" on {args.dataset}"
    print(f"{args.model}{on}; all files go to {run.path}")
    stages.header(started, 1, "Search: widen, score, select, rebuild")
    model, data = network.load(args)
    stages.search(run, model, data, args)
    if args.stage == "all":
        forecast = Forecast(run, data, recipe, args)
        for number, (name, title) in enumerate(stages.TITLES.items(), 2):
            left = forecast.left()
            stages.header(started, number, f"Training the {title}", left)
            stages.train(run, name, data, recipe, args, forecast.learn(name))
    elif args.stage != "search":
        stages.train(run, args.stage, data, recipe, args)
    if args.stage != "all" or not run.chief:
        return
    left = forecast.left()
    stages.header(started, 4, "Export: SavedModel, .tflite, parity, latency", left)
    stages.deploy(run, data, args)
    stages.header(started, 5, "Report", forecast.left())
    seconds = time.perf_counter() - started
    found = results.collect(run, data, recipe, args, seconds)
    results.write_report(run, found, data, args)
    application = registry.application(args)
    print(f"\n{results.table(found, application.task.goal)}")
    stages.stamp(started, "Finished")
    files = [f"lw_dna{part}.tflite" for part in application.parts]
    for name in ("report.html", "lw_dna.keras", *files, "plan.json"):
        print(f"  {run.path / name}")
    more = naming.as_started(f"python launch/export.py --run={run.path}")
    print(f"\nFor phones and servers: {more}")


entry = program.make(__doc__, GROUPS, main)
