"""Measures loss and accuracy of a model file on the validation images.

    python launch/evaluate.py --model=runs/resnet20/lw_dna.keras
    python launch/evaluate.py --model=runs/resnet20/saved_model/lw_dna/1
    python launch/evaluate.py --model=runs/resnet20/lw_dna.tflite --limit=200
    python launch/evaluate.py --model=trained.keras --dataset=photos/

    python launch/evaluate.py --model=trained.keras --dataset=photos/ --view=ten \\
        --output=runs/evaluation

Takes Keras models, SavedModel folders and TensorFlow Lite files alike. Writes nothing
but to the screen, unless --output says where: then evaluation.json (scores, and the
accuracy of each class) and confusion.png.
"""

import pathlib
import sys

if not __package__:  # started as a file: find this package and hh_keras
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from launch import flags, program

GROUPS = {
    "Model": (flags.FILE,),
    "Data": (*flags.DATA, flags.VIEW, flags.BATCH_SIZE),
    "Other": (flags.OUTPUT,),
}


def main(args):
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras.tasks import classification
    from hh_keras.training import confusion, score_outputs
    from launch import exports, steps

    model, logits = args.model, None
    if model.endswith(".keras"):
        model, data = steps.load(args)
        logits = classification.from_logits(model)
    else:
        data = steps.load_data_for_file(args)
    outputs, labels = exports.run_over(model, data.validation)
    scores = score_outputs(outputs, labels, logits)
    print(steps.scores_line(scores, len(labels)))
    if args.output:
        counts = confusion(outputs, labels, logits)
        _write(pathlib.Path(args.output), args, data, scores, counts)


def _write(folder, args, data, scores, counts):
    """Leaves evaluation.json and confusion.png."""
    from hh_keras import files
    from hh_keras.report import pictures, plot_confusion
    from launch import steps

    sizes = counts.sum(1)
    by_class = {
        name: counts[k, k] / sizes[k] if sizes[k] else None
        for k, name in enumerate(data.class_names)
    }
    found = {
        "model": args.model,
        "dataset": data.name,
        "view": args.view or "resize",
        "images": int(sizes.sum()),
        **scores,
        "accuracy_by_class": by_class,
        "skipped": data.skipped,
    }
    files.write(folder / "evaluation.json", steps.to_json(found))
    picture = pictures.png(plot_confusion(counts, data.class_names))
    files.write(folder / "confusion.png", picture)
    known = [name for name, share in by_class.items() if share is not None]
    worst = sorted(known, key=by_class.get)[:3]
    print("worst: " + ", ".join(f"{name} {by_class[name]:.1%}" for name in worst))
    print(f"Written: {folder / 'evaluation.json'}, {folder / 'confusion.png'}")


entry = program.make(__doc__, GROUPS, main)

if __name__ == "__main__":
    sys.exit(entry())
