"""Exports a model for TF Serving (SavedModel) and for phones (.tflite), and checks it.

    python launch/export.py --model=runs/resnet20/lw_dna.keras --workdir=runs/exported
    python launch/export.py --model=trained.keras --formats=tflite --dataset=photos/

The exported files are run on validation images of --dataset, and the export fails
if they differ from the Keras model by more than 1e-4 of the outputs' spread.

Leaves in --workdir: saved_model/NAME/1 (takes pixels, or JPEG and PNG files, and then
answers with the class names of --dataset), NAME.tflite (float32, batch 1), export.json
(how far each file is from the Keras model), run.json (all settings).
"""

import pathlib
import sys
import time

if not __package__:  # started as a file: find this package and hh_keras
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from launch import flags, program

GROUPS = {
    "Model": (flags.model_flag(None), *flags.MODEL_ARGS),
    "Data": (*flags.DATA, flags.ONE_VIEW, flags.BATCH_SIZE),
    "Export": (flags.FORMATS_FLAG, flags.CHECK_IMAGES),
    "Other": (flags.SEED, flags.NAME, *flags.workdir_flags("runs/export")),
}


def main(args):
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras import files
    from launch import exports, steps, workdir

    run = workdir.open_run(
        args.workdir, workdir.configuration("export", args), args.overwrite
    )
    started = time.perf_counter()
    model, data = steps.load(args, labels=False)
    images = steps.first_images(data.validation, args.check_images)
    workdir.claim(run)
    labels, view = data.class_names, exports.view(args)
    parity = exports.write(
        model, run.path, args.name, images, labels, view, args.formats
    )
    files.write(run.path / "export.json", steps.to_json(parity))
    workdir.finish(run, "export", started)
    for kind, path in exports.paths(run.path, args.name, args.formats).items():
        print(f"{path}: {exports.parity_line(parity[kind])}")


entry = program.make(__doc__, GROUPS, main)

if __name__ == "__main__":
    sys.exit(entry())
