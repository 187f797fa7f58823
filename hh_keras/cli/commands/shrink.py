"""Shrinks a network: the model in, plan.json and two untrained models out.

The network is widened, its channels are scored on a few batches, and the best ones
that fit the budget become a smaller network with the same layers.

    python launch/shrink.py --workdir=runs/shrink
    python launch/shrink.py --model=resnet56 --dataset=photos/ --macs=0.5x
    python launch/shrink.py --model=mine:build --model_args='{"depth": 3}' --macs=300M
    python launch/shrink.py --model=yolo.keras --criterion=weight_norm --width_mult=1
    python launch/shrink.py --model=trained.keras --weights=inherit \\
        --calibrate=photos/ --macs=0.7x --sweep=0.9,0.8,0.6

Leaves in --workdir: plan.json (which channels of the widened network stay),
original.keras and lw_dna.keras (both with the weights that training should start
from), run.json (all settings); with --sweep, the same of each size in sweep/, and a
picture. With --calibrate, labelled images are not needed: --dataset may be left out.
Nor is any data where the criterion needs none and the model, of any inputs and outputs,
tells itself what it takes.
launch/train.py trains either; launch/run.py does
everything in one go.
"""

import time
from collections.abc import Callable

from absl.flags import FlagValues

from hh_keras.cli import flags, program

GROUPS = {
    "Settings": flags.CONFIG,
    "Task": flags.TASK,
    "Model": (flags.model_flag("mobilenetv2_tiny"), *flags.MODEL_ARGS),
    "Data": (*flags.DATA, flags.BATCH_SIZE),
    "Search": flags.SEARCH,
    "Training (with --search_epochs)": (*flags.TRAINING, *flags.RESUME),
    "Devices": flags.DEVICES,
    "Other": (flags.SEED, *flags.workdir_flags("runs/shrink")),
}


def main(args: FlagValues) -> None:
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras.cli import findings, network, search, sweep, training, workdir

    search.prepare(args)
    run = training.open_run(args, "shrink")
    files = ("plan.json", "original.keras", "lw_dna.keras")
    if workdir.is_finished(run, "search", files):
        print(f"Nothing to do: {run.path} holds this very run, finished.")
        return
    started = time.perf_counter()
    load: Callable = network.load
    if search.without_dataset(args):
        load = network.alone
    elif search.without_data(args):
        load = network.bare
    model, data = load(args)
    print(f"Searching {args.model} on {data.name} ...", flush=True)
    original, result, swept = search.search(model, data, args, run)
    if not run.chief:
        return
    workdir.claim(run)
    result.plan.save(run.path / "plan.json")
    network.save_model(original, run.path / "original.keras")
    network.save_model(result.model, run.path / "lw_dna.keras")
    print(result.diff())
    print(findings.summary(result))
    rows = sweep.keep(run, original, result, swept, data, args)
    kept = findings.kept_facts(result.kept)
    workdir.finish(run, "search", started, files, kept=kept, sweep=rows)
    print(f"Written: {', '.join(str(run.path / name) for name in files)}")


entry = program.make(__doc__, GROUPS, main)
