"""Trains one network, by default by the paper's protocol for classifiers.

    python launch/train.py --model=runs/shrink/lw_dna.keras --workdir=runs/lw_dna
    python launch/train.py --model=resnet20 --epochs=30 --augment=crop_flip
    python launch/train.py --model=keras.applications.MobileNetV2 --dataset=photos/ \\
        --image_size=96 --pretrained=imagenet --learning_rate=0.01
    python launch/train.py --task=denoise --model=dncnn_s --dataset=holiday/

A .keras file is trained from the weights in it. With GPUs, the model is mirrored over
all of them and --batch_size is shared out.

Leaves in --workdir: NAME.keras (trained), history/NAME.csv and .jsonl (one row per
epoch, kept up to date), results.json (accuracy and loss), run.json (all settings).
Stopped or killed, it goes on from its last checkpoint when it is started again with
the same flags, and ends with the same weights; SIGTERM makes it save and exit with
status 75.
"""

import time

from absl.flags import FlagValues

from hh_keras.cli import flags, program

GROUPS = {
    "Settings": flags.CONFIG,
    "Task": flags.TASK,
    "Model": (flags.model_flag("mobilenetv2_tiny"), *flags.MODEL_ARGS),
    "Data": flags.DATA,
    "Training": (flags.BATCH_SIZE, *flags.TRAINING, *flags.RESUME),
    "Inherited weights": flags.RECOVERY,
    "Teacher": flags.DISTILLATION,
    "Devices": flags.DEVICES,
    "Other": (flags.SEED, flags.NAME, *flags.workdir_flags("runs/train")),
}


def main(args: FlagValues) -> None:
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras import files
    from hh_keras.cli import network, training, workdir
    from hh_keras.tasks import registry
    from hh_keras.training import checkpoints

    run = training.open_run(args, "train")
    trained, results = f"{args.name}.keras", "results.json"
    if workdir.is_finished(run, "train", (trained, results)):
        print(f"Nothing to do: {run.path} holds this very run, finished.")
        return
    started = time.perf_counter()
    recipe = training.recipe(args)
    model, data = network.load(args)
    workdir.claim(run)
    print(f"Training {args.model} on {data.name}, {recipe.epochs} epochs ...")
    model = training.train(model, data, recipe, args, run, args.name).model
    if not run.chief:
        return
    application = registry.application(args)
    scores = application.task.evaluate(model, data.validation)
    network.save_model(model, run.path / trained)
    files.write(run.path / results, workdir.to_json(scores))
    workdir.finish(run, "train", started, (trained, results))
    checkpoints.remove(run.path / "checkpoints", args.name)
    print(training.scores_line(application, scores, data.num_validation))
    print(f"Written: {run.path / trained}, {run.path / 'history'}")


entry = program.make(__doc__, GROUPS, main)
