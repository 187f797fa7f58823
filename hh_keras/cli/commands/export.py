"""Exports networks for TF Serving (SavedModel) and phones (.tflite), and checks them.

    python launch/export.py --run=runs/run               # all that launch/run.py made
    python launch/export.py --model=runs/run/lw_dna.keras --formats=float32,int8
    python launch/export.py --model=trained.keras --dataset=photos/ --qat_epochs=5

With --run, or a .keras file in the folder of a run, the data are the run's. Every file
is run on the validation images and compared with the Keras model. A SavedModel or
float32 file that differs by more than 1e-4 of the outputs' spread is an error, and so
is one of the others that loses more accuracy (of restored images, decibels of PSNR)
than --max_drop, unless --allow_drop. The files and the report are kept all the same.

Leaves in --workdir (by default RUN/export, or runs/export): saved_model/NAME/1
(takes pixels, or JPEG and PNG files, and then answers with class names), NAME.tflite
(float32), NAME.float16.tflite, NAME.dynamic.tflite, NAME.int8.tflite,
NAME.qat.tflite, beside each a .json for apps (pixels, labels, tiles, quantisation);
export.json and export.md (the parity report); run.json (all settings). Started again,
it makes only what is missing.
"""

import dataclasses
import time

from absl.flags import FlagValues

from hh_keras.cli import flags, program

_TRAINING = (
    "augment", "rand_augment", "mixup", "cutmix", "label_smoothing", "learning_rate",
    "momentum",
)  # fmt: skip
GROUPS = {
    "Model": (
        flags.RUN,
        dataclasses.replace(flags.model_flag(None), required=False),
        *flags.MODEL_ARGS,
    ),
    "Task": flags.TASK,
    "Data": (*flags.DATA, flags.ONE_VIEW, flags.BATCH_SIZE),
    "Export": (*flags.EXPORT, flags.TILE),
    "Training for int8": [flags.named(flags.TRAINING, name) for name in _TRAINING],
    "Other": (flags.SEED, flags.NAME, *flags.workdir_flags(None)),
}


def main(args: FlagValues) -> None:
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras.cli import deployment, parity_report, workdir
    from hh_keras.errors import HHError
    from hh_keras.tasks import registry

    networks = deployment.networks(args)
    config = workdir.configuration("export", args)
    config["networks"] = deployment.digests(networks)
    run = workdir.open_run(args.workdir, config, args.overwrite)
    started = time.perf_counter()
    found = {}
    for name, model in networks.items():
        found[name], data = deployment.export(run, name, model, args)
    facts = {"seconds": round(time.perf_counter() - started, 1)}
    limits = (registry.application(args), found, args.max_drop)
    parity_report.write_report(run.path, *limits, data, facts)
    print(f"\n{parity_report.table(*limits[:2])}\n\n{run.path / 'export.md'}")
    inexact, drops = parity_report.problems(*limits)
    if inexact or (drops and not args.allow_drop):
        hint = "" if inexact else " (--allow_drop accepts this; the files are kept)"
        raise HHError("; ".join(inexact + drops) + hint)


entry = program.make(__doc__, GROUPS, main)
