"""kyolo's detectors beside ours: the same blood cells, boxes, augmentation and time.

    pip install kyolo
    python benchmarks/peer_detectors.py --seconds=430
    python benchmarks/peer_detectors.py --summary

Each is trained from scratch on the 205 images at 192x256, for as many epochs as fit
into so many seconds of the processor (timed first; of all cores together, so that a
busy machine is the same for all), with a cosine and a warm-up of one epoch: ours by its
defaults, kyolo's by its own loss and AdamW at 0.001. AP50 and AP on the 87 validation
and the 72 test images, by the same code. One line of JSON a network in
`results/peer_detectors.jsonl`; rows there are not made again.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import hh_keras  # noqa: E402
from hh_keras import models  # noqa: E402
from hh_keras.tasks.detection.evaluation import average_precision, detect  # noqa: E402
from hh_keras.tasks.detection.images import load_boxes  # noqa: E402
from hh_keras.tasks.detection.objects import open_objects  # noqa: E402
from hh_keras.tasks.detection.task import DEFAULTS, detecting  # noqa: E402
from hh_keras.training import Recipe, train  # noqa: E402

ROWS = pathlib.Path(__file__).parent / "results" / "peer_detectors.jsonl"
SIZE, BATCH = (192, 256), 16
TIMED = 6  # steps


def spent():
    """Seconds of the processor so far, of all threads."""
    now = os.times()
    return now.user + now.system


class Ours:
    """A detector of the package."""

    def __init__(self, name, data, epochs, seed):
        keras.utils.set_random_seed(seed)
        self.data, self.seed, self.epochs = data, seed, epochs
        self.model = models.build(name, (*SIZE, 3), len(data.class_names))

    def fit(self, epochs, steps=None):
        own = ("optimizer", "learning_rate", "weight_decay", "schedule")
        recipe = Recipe(
            epochs=epochs, batch_size=BATCH, seed=self.seed,
            warmup_epochs=min(1, epochs - 1), **{key: DEFAULTS[key] for key in own},
        )  # fmt: skip
        data = Some(self.data, steps)
        train(self.model, data, recipe, task=detecting())

    def found(self, dataset):
        run = tf.function(lambda images: self.model(images, training=False))
        return detect(run, SIZE, dataset)[:2]


class Some:
    """The first steps of every epoch, without validation."""

    def __init__(self, data, steps):
        steps = -1 if steps is None else steps
        self.train, self.validation = data.train.take(steps), None
        self.epoch = lambda number, first=0: data.epoch(number, first).take(steps)


class Kyolo:
    """One of kyolo's, trained by its own loss."""

    def __init__(self, name, data, epochs, seed):
        import kyolo

        keras.utils.set_random_seed(seed)
        classes = len(data.class_names)
        self.data = data
        self.model = getattr(kyolo, name)(input_shape=(*SIZE, 3), nc=classes)
        self.detector = kyolo.YOLODetector(self.model)
        steps = int(data.train.cardinality())
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps * (epochs - 1)), warmup_target=1e-3, warmup_steps=steps
        )
        optimizer = keras.optimizers.AdamW(rate, weight_decay=5e-4)
        self.detector.compile(optimizer=optimizer)

    def fit(self, epochs, steps=None):
        for epoch in range(epochs):
            batches = self.data.epoch(epoch).take(-1 if steps is None else steps)
            self.detector.fit(batches.map(self._as_theirs), verbose=0)

    @staticmethod
    def _as_theirs(images, rows):
        there = tf.cast(rows[..., 2] > rows[..., 0], tf.float32)
        labels = tf.cast(rows[..., 4], tf.int32)
        return images / 255, {"boxes": rows[..., :4], "labels": labels, "mask": there}

    def found(self, dataset):
        every = []
        for images, rows in dataset:
            told = np.asarray(
                self.detector.detect(
                    images / 255,
                    conf_threshold=0.005,
                    iou_threshold=0.6,
                    max_detections=100,
                )  # fmt: skip
            )
            every.append((np.asarray(rows), told[..., :4], told[..., 5], told[..., 4]))
        rows, *found = (np.concatenate(x) for x in zip(*every))
        return rows, tuple(found)


def row_of(name, seconds, seed):
    make = Ours if name in models.list_models("detect") else Kyolo
    data, test = (
        load_boxes(open_objects(held_out=part), SIZE, BATCH, seed, DEFAULTS["augment"])
        for part in ("val", "test")
    )
    timed = make(name, data, 2, seed)
    timed.fit(1, 1)  # compiles
    before = spent()
    timed.fit(1, 1)
    once = spent() - before  # ours compiles anew
    timed.fit(1, 1 + TIMED)
    each = (spent() - before - 2 * once) / TIMED
    steps = int(data.train.cardinality())
    epochs = max(2, int(seconds / (steps * each)))
    print(f"{name}: {steps * each:.1f} s an epoch, {epochs} epochs", flush=True)
    before = spent()
    network = make(name, data, epochs, seed)
    network.fit(epochs)
    row = {"network": name, "seed": seed, "epochs": epochs,
           "seconds": round(spent() - before), "wanted": seconds}  # fmt: skip
    cost = hh_keras.cost(network.model)
    row |= {"macs": int(cost.macs), "params": int(cost.params)}
    for part, images in (("val", data), ("test", test)):
        rows, found = network.found(images.validation)
        scores = average_precision(rows, found, len(data.class_names))
        row |= {f"{part}_{key}": round(scores[key], 4) for key in ("ap50", "ap")}
        each = [round(scores["each"][k][0], 4) for k in range(len(data.class_names))]
        row[f"{part}_classes"] = dict(zip(data.class_names, each))
    return row


def summary():
    print("| network | M MACs | M parameters | epochs | CPU s | AP50 | AP |")
    print("|---|---|---|---|---|---|---|")
    for row in map(json.loads, ROWS.read_text().splitlines() if ROWS.exists() else ()):
        print(
            f"| {row['network']} | {row['macs'] / 1e6:.0f} | {row['params'] / 1e6:.2f} "
            f"| {row['epochs']} | {row['seconds']} | {row['test_ap50']:.3f} | "
            f"{row['test_ap']:.3f} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default="detector_small,yolov8n")
    parser.add_argument("--seconds", type=float, default=430, help="of the processor")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--summary", action="store_true", help="only what is there")
    args = parser.parse_args()
    lines = ROWS.read_text().splitlines() if ROWS.exists() else []
    keys = ("network", "wanted", "seed")
    known = [tuple(json.loads(line)[k] for k in keys) for line in lines]
    for name in args.networks.split(",") if not args.summary else ():
        if (name, args.seconds, args.seed) not in known:
            row = row_of(name, args.seconds, args.seed)
            with ROWS.open("a") as file:
                file.write(json.dumps(row) + "\n")
    summary()


if __name__ == "__main__":
    main()
