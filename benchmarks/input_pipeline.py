"""Images per second that the pipelines deliver, against what a training step takes.

    python benchmarks/input_pipeline.py --folder=cifar10/

--folder is an image folder (train/CLASS/, val/CLASS/) of 32-pixel images. The model is
taken out: batches are only read. The appetite is that of ResNet-20's training step on
images that are in memory already. All take turns, round by round; medians.
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402

import hh_keras.models  # noqa: E402
from hh_keras.data import load  # noqa: E402
from hh_keras.tasks.classification.task import TASK  # noqa: E402
from hh_keras.training import Recipe  # noqa: E402
from hh_keras.training.fit import compiled  # noqa: E402
from hh_keras.training.trainee import weighted  # noqa: E402

BATCH = 128
CROP = {"augment": "crop_flip"}
PIPELINES = {
    "held, crop_flip": CROP,
    "streamed, crop_flip": {**CROP, "memory_bytes": 0},
    "held, crop_flip, RandAugment 2": {**CROP, "rand_augment": 2},
    "held, crop_flip, MixUp": {**CROP, "mixup": 0.2},
    "held, crop_flip, CutMix": {**CROP, "cutmix": 1.0},
}


def photographs(folder, count=300):
    """An image folder of JPEGs as large as those of ImageNet."""
    rng = np.random.default_rng(0)
    for part, name in ((p, n) for p in ("train", "val") for n in ("a", "b")):
        pathlib.Path(folder, part, name).mkdir(parents=True)
        for k in range(count // 4):
            coarse = rng.integers(0, 256, (24, 32, 3), np.uint8)
            image = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
            image.save(pathlib.Path(folder, part, name, f"{k}.jpg"), quality=90)
    return str(folder)


def delivered(data, seconds):
    """Returns a function that reads batches for a while; images per second."""

    def measure(number):
        count, started = 0, None
        while True:
            for images, _ in data.epoch(number):
                if started is None:  # the first batch waits for buffers to fill
                    started = time.perf_counter()
                    continue
                count += len(images)
                passed = time.perf_counter() - started
                if passed > seconds:
                    return count / passed

    return measure


def appetite(shape, classes, seconds):
    """Returns a function that takes training steps for a while; images per second."""
    model = hh_keras.models.build("resnet20", shape, classes)
    trainee = compiled(model, Recipe(batch_size=BATCH), 100, None, 1, None, TASK)
    batch = (
        np.zeros((BATCH, *shape), "float32"),
        np.zeros(BATCH, "int32"),
    )
    iterator = iter(weighted(tf.data.Dataset.from_tensors(batch)).repeat())
    step = trainee.make_train_function() or trainee.train_function
    step(iterator)

    def measure(_):
        steps, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            float(step(iterator)["loss"])
            steps += 1
        return steps * BATCH / (time.perf_counter() - started)

    return measure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = {
            name: load(args.folder, batch_size=BATCH, **settings)
            for name, settings in PIPELINES.items()
        }
        shape, classes = data["held, crop_flip"].image_shape, 10
        large = load(
            photographs(folder), (224, 224, 3), batch_size=32, augment="imagenet"
        )
        measures = {name: delivered(each, args.seconds) for name, each in data.items()}
        measures["500 x 375 JPEG, imagenet 224"] = delivered(large, args.seconds)
        measures["ResNet-20, a training step"] = appetite(shape, classes, args.seconds)
        speeds = {name: [] for name in measures}
        for number in range(args.rounds):
            for name, measure in measures.items():
                speeds[name].append(measure(number))
    step = statistics.median(speeds["ResNet-20, a training step"])
    print("| pipeline | images / s | rounds | / training step |\n|---|---|---|---|")
    for name, found in speeds.items():
        median = statistics.median(found)
        spread = f"{min(found):,.0f} to {max(found):,.0f}"
        print(f"| {name} | {median:,.0f} | {spread} | {median / step:.1f} |")


if __name__ == "__main__":
    main()
