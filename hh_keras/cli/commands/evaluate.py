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
import sys

if not __package__:  # started as a file: find this package and hh_keras
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from hh_keras.cli import flags, program

GROUPS = {
    "Model": (flags.FILE,),
    "Task": flags.TASK,
    "Data": (*flags.DATA, flags.VIEW, flags.ALL_IMAGES, flags.BATCH_SIZE),
    "Other": (flags.OUTPUT,),
}


def main(args):
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras.cli import search as steps
    from hh_keras.export import formats as exports
    from hh_keras.tasks import classification
    from hh_keras.tasks import registry as tasks
    from hh_keras.training import confusion, score_outputs

    tasks.apply(args)
    if tasks.restores(args):
        _restored(args)
        return
    model, logits = args.model, None
    if model.endswith(".keras"):
        model, data = steps.load(args)
        logits = classification.from_logits(model)
    else:
        data = steps.load_data_for_file(args)
    outputs, labels = exports.run_over(model, data.validation, logits)
    _check_classes(args.model, outputs, data)
    scores = score_outputs(outputs, labels, logits)
    print(steps.scores_line(scores, len(labels)))
    if args.output:
        counts = confusion(outputs, labels, logits)
        _write(pathlib.Path(args.output), args, data, scores, counts)


def _restored(args):
    """The same for a network that restores images."""
    from hh_keras.cli import search as steps
    from hh_keras.tasks import registry as tasks
    from hh_keras.tasks.restoration import tiles

    task = tasks.of(args)
    if args.model.endswith(".keras"):
        model, data = steps.load(args)
    else:
        model = tiles.runner(args.model)
        data = steps.load_photographs_for_file(args)
    scores = task.evaluate(model, data.validation)
    print(steps.scores_line(scores, data.num_validation))
    if args.output:
        preview = task.preview(model, data.validation, _SHOWN)
        _write_restored(pathlib.Path(args.output), args, data, scores, preview)


_SHOWN = 5  # images in before_after.png


def _write_restored(folder, args, data, scores, preview):
    """Leaves evaluation.json and before_after.png."""
    from hh_keras import files
    from hh_keras.cli import search as steps
    from hh_keras.report import channels as pictures
    from hh_keras.report import plot_before_after

    found = {
        "model": args.model,
        "dataset": data.name,
        "degradation": args.degrade,
        "images": data.num_validation,
        **scores,
        "skipped": data.skipped,
    }
    files.write(folder / "evaluation.json", steps.to_json(found))
    picture = pictures.png(plot_before_after(preview))
    files.write(folder / "before_after.png", picture)
    print(f"Written: {folder / 'evaluation.json'}, {folder / 'before_after.png'}")


def _check_classes(path, outputs, data):
    from hh_keras.errors import DataError

    outputs, classes = outputs.shape[-1], len(data.class_names)
    if outputs != classes:
        raise DataError(
            f"labels that do not match the head: {path} has {outputs} outputs, but "
            f"--dataset={data.name} has {classes} classes. Choose the data set that "
            "the model was trained on."
        )


def _write(folder, args, data, scores, counts):
    """Leaves evaluation.json and confusion.png."""
    from hh_keras import files
    from hh_keras.cli import search as steps
    from hh_keras.report import channels as pictures
    from hh_keras.report import plot_confusion
    from hh_keras.tasks.classification.evaluation import accuracy_by_class

    shares = accuracy_by_class(counts).tolist()
    by_class = dict(zip(data.class_names, shares, strict=True))
    known = {name: share for name, share in by_class.items() if share == share}
    found = {
        "model": args.model,
        "dataset": data.name,
        "view": args.view or "resize",
        "images": int(counts.sum()),
        **scores,
        "accuracy_by_class": {name: known.get(name) for name in by_class},
        "skipped": data.skipped,
    }
    files.write(folder / "evaluation.json", steps.to_json(found))
    picture = pictures.png(plot_confusion(counts, data.class_names))
    files.write(folder / "confusion.png", picture)
    worst = sorted(known, key=known.get)[:3]
    print("worst: " + ", ".join(f"{name} {known[name]:.1%}" for name in worst))
    print(f"Written: {folder / 'evaluation.json'}, {folder / 'confusion.png'}")


entry = program.make(__doc__, GROUPS, main)

if __name__ == "__main__":
    sys.exit(entry())
