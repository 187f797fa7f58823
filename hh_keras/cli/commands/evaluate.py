"""Measures loss and accuracy, or PSNR, of a model file on the validation images.

    python launch/evaluate.py --model=runs/resnet20/lw_dna.keras
    python launch/evaluate.py --model=runs/resnet20/saved_model/lw_dna/1
    python launch/evaluate.py --model=runs/resnet20/lw_dna.tflite --limit=200
    python launch/evaluate.py --model=trained.keras --dataset=photos/
    python launch/evaluate.py --model=trained.keras --dataset=photos/ --view=ten \\
        --output=runs/evaluation
    python launch/evaluate.py --task=denoise --degrade=noise:25 --dataset=BSD68/ \\
        --all_images --validation_size=0 --model=runs/denoise/lw_dna.keras

Takes Keras models, SavedModel folders and TensorFlow Lite files alike. Writes nothing
but to the screen, unless --output says where: then evaluation.json (scores, and the
accuracy of each class) and confusion.png; for --task=denoise and sr before_after.png.
"""

import pathlib

from absl.flags import FlagValues

from hh_keras.cli import flags, program

GROUPS = {
    "Model": (flags.FILE,),
    "Task": flags.TASK,
    "Data": (*flags.DATA, flags.VIEW, flags.ALL_IMAGES, flags.BATCH_SIZE),
    "Other": (flags.OUTPUT,),
}


def main(args: FlagValues) -> None:
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras import files
    from hh_keras.cli import network, training
    from hh_keras.cli.workdir import to_json
    from hh_keras.report import png
    from hh_keras.tasks import registry

    registry.prepare(args)
    application = registry.application(args)
    found = application.evaluate_file(args, network.build)
    print(training.scores_line(application, found.scores, found.examples))
    if not args.output:
        return
    folder = pathlib.Path(args.output)
    written = [folder / "evaluation.json"]
    files.write(written[0], to_json(found.facts))
    for name, figure in found.pictures().items():
        written.append(folder / f"{name}.png")
        files.write(written[-1], png(figure))
    if found.remark:
        print(found.remark)
    print(f"Written: {', '.join(map(str, written))}")


entry = program.make(__doc__, GROUPS, main)
