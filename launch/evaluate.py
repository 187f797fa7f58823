"""Measures loss and accuracy of a model file on the validation images.

    python launch/evaluate.py --model=runs/resnet20/lw_dna.keras
    python launch/evaluate.py --model=runs/resnet20/saved_model/lw_dna/1
    python launch/evaluate.py --model=runs/resnet20/lw_dna.tflite --limit=200
    python launch/evaluate.py --model=trained.keras --dataset=photos/

Takes Keras models, SavedModel folders and TensorFlow Lite files alike. Writes
nothing but to the screen.
"""

import pathlib
import sys

if not __package__:  # started as a file: find this package and hh_keras
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from launch import flags, program

GROUPS = {
    "Model": (flags.FILE,),
    "Data": (*flags.DATA, flags.BATCH_SIZE),
}


def main(args):
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras.training import evaluate, score_outputs
    from launch import exports, steps

    if args.model.endswith(".keras"):
        model, data = steps.load(args)
        scores = evaluate(model, data.validation)
    else:
        data = steps.load_data_for_file(args)
        scores = score_outputs(*exports.run_over(args.model, data.validation))
    print(steps.scores_line(scores, data.num_validation))


entry = program.make(__doc__, GROUPS, main)

if __name__ == "__main__":
    sys.exit(entry())
