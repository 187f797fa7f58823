"""A ViT and a ConvNeXt for CIFAR-10, for `trained.py`; and their training.

    python benchmarks/trained_attention.py --photos=FOLDER --network=vit --seed=0

Trains on nine tenths of `cifar10/train/<class>/*.jpg` and writes `vit_0.npz` (names
and axes of Keras), which `trained.py` and `trained_peer.py` read. The last tenth
follows the training; of the test images nothing is looked at. Started again, it goes on
where it was. Both are as large as an hour of two busy cores teaches something: a ViT of
width 192 (2.7 M parameters) takes nearly three times as long for each image, and would
not have seen each four times.
"""

import argparse
import dataclasses
import os
import pathlib
import time
import types

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers as L  # noqa: E402
from photographs import cifar10  # noqa: E402
from trained_cifar import DEVIATION, MEAN  # noqa: E402

from hh_keras.data.augmentation import augment_images  # noqa: E402
from hh_keras.tasks.classification.task import TASK  # noqa: E402
from hh_keras.training import Recipe, train  # noqa: E402

HELD_OUT = 5000  # of the training images
EPSILON = 1e-6


@keras.saving.register_keras_serializable("hh_keras_benchmarks")
class Positions(L.Layer):
    """A learnt vector for each place."""

    def build(self, shape):
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        self.places = self.add_weight(shape[1:], start, name="places")

    def call(self, x):
        return x + self.places


def pixels():
    image = keras.Input((32, 32, 3), name="image")
    mean, deviation = 255 * np.array(MEAN), 255 * np.array(DEVIATION)
    return image, L.Normalization(mean=mean, variance=deviation**2, name="rescale")(
        image
    )


def norm(x, name):
    return L.LayerNormalization(epsilon=EPSILON, name=name)(x)


def perceptron(x, hidden, name):
    y = L.Dense(hidden, activation="gelu", name=f"{name}_hidden")(x)
    return L.Dense(x.shape[-1], name=f"{name}_out")(y)


def vit(width=96, depth=6, heads=6, patch=4):
    """A ViT (arXiv:2010.11929) of pixels from 0 to 255, logits.

    The mean of all patches is classified, as in arXiv:2205.01580. Width 96, depth 6:
    0.68 M parameters, 47 M multiply-accumulates.
    """
    image, x = pixels()
    x = L.Conv2D(width, patch, patch, name="patches")(x)
    x = L.Reshape((-1, width), name="sequence")(x)
    x = Positions(name="positions")(x)
    for k in range(depth):
        name = f"block{k}"
        y = norm(x, f"{name}_norm1")
        y = L.MultiHeadAttention(heads, width // heads, name=f"{name}_attention")(y, y)
        x = L.Add(name=f"{name}_add1")([x, y])
        y = perceptron(norm(x, f"{name}_norm2"), 4 * width, name)
        x = L.Add(name=f"{name}_add2")([x, y])
    x = L.GlobalAveragePooling1D(name="pool")(norm(x, "norm"))
    return keras.Model(image, L.Dense(10, name="logits")(x), name="vit")


def convnext(widths=(40, 80, 160), depths=(2, 2, 2), kernel=5):
    """A ConvNeXt (arXiv:2201.03545) for small images: patches of two pixels, no scales.

    0.61 M parameters, 22 M multiply-accumulates.
    """
    image, x = pixels()
    for stage, (width, depth) in enumerate(zip(widths, depths)):
        x = norm(x, f"stage{stage}_norm") if stage else x
        x = L.Conv2D(width, 2, 2, name=f"stage{stage}")(x)
        x = x if stage else norm(x, "stage0_norm")
        for k in range(depth):
            name = f"stage{stage}_block{k}"
            depthwise = L.DepthwiseConv2D(
                kernel, padding="same", name=f"{name}_depthwise"
            )
            y = norm(depthwise(x), f"{name}_norm")
            x = L.Add(name=f"{name}_add")([x, perceptron(y, 4 * width, name)])
    x = norm(L.GlobalAveragePooling2D(name="pool")(x), "norm")
    return keras.Model(image, L.Dense(10, name="logits")(x), name="convnext")


NETWORKS = {"vit": vit, "convnext": convnext}
# What to leave alone, so that channels of one kind leave.
ALONE = {
    "vit": {
        "heads alone": {"only": "*_attention", "freeze": "*_attention:*"},
        "attention alone": {"only": "*_attention"},
        "hidden alone": {"only": "*_hidden"},
        "stream alone": {"only": "patches"},
    },
    "convnext": {
        "hidden alone": {"only": "*_hidden"},
        "streams alone": {"only": "stage?"},
    },
}
RECIPES = {
    name: Recipe(
        epochs=epochs,
        batch_size=64,
        optimizer="adam",
        learning_rate=1e-3,
        weight_decay=0.0,
        warmup_epochs=1.0,
        clip_norm=1.0,
    )
    for name, epochs in (("vit", 10), ("convnext", 10))
}


def load(model, path):
    """A model with the weights of an .npz file."""
    with np.load(path) as values:
        for weight in model.weights:
            weight.assign(values[weight.path])
    return model


def save(model, path):
    """Writes the weights by their names, and answers to noise, to check copies by."""
    values = {weight.path: np.asarray(weight) for weight in model.weights}
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), "uint8")
    outputs = np.asarray(model(images.astype("float32"), training=False))
    values |= {"probe/images": images, "probe/outputs": outputs}
    np.savez(path, **values)


def seen(images, labels, batch, seed):
    """`epoch(number, first step)`: batches, shifted and flipped; a seed decides how."""
    images, labels = tf.constant(images), tf.constant(labels)

    def take(places, seed):
        chosen = tf.gather(images, places)
        return augment_images(chosen, seed, "crop_flip"), tf.gather(labels, places)

    def epoch(number, first=0):
        order = np.random.default_rng((seed, number)).permutation(len(images))
        places = tf.data.Dataset.from_tensor_slices(order).batch(batch)
        seeds = tf.data.Dataset.random(1000 * seed + number).batch(2, True)
        both = tf.data.Dataset.zip(places, seeds).skip(first)
        return both.map(take, tf.data.AUTOTUNE, deterministic=True).prefetch(4)

    return epoch


def data_of(folder, recipe, limit=None):
    images, labels = cifar10(folder, "train", limit)
    held = min(HELD_OUT, len(images) // 10)
    epoch = seen(images[held:], labels[held:], recipe.batch_size, recipe.seed)
    held_out = tf.data.Dataset.from_tensor_slices((images[:held], labels[:held]))
    return types.SimpleNamespace(
        train=epoch(0), epoch=epoch, validation=held_out.batch(250)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True, help="the folder of cifar10/")
    parser.add_argument("--network", choices=NETWORKS, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="another number than the recipe's")
    parser.add_argument("--limit", type=int, help="training images, to try it out")
    parser.add_argument("--out", default="weights", help="where the .npz is written")
    args = parser.parse_args()
    recipe = RECIPES[args.network]
    epochs = args.epochs or recipe.epochs
    recipe = dataclasses.replace(recipe, seed=args.seed, epochs=epochs)
    name, out = f"{args.network}_{args.seed}", pathlib.Path(args.out)
    keras.utils.set_random_seed(args.seed)
    model = NETWORKS[args.network]()
    data = data_of(args.photos, recipe, args.limit)
    began = time.process_time()
    train(model, data, recipe, workdir=out / "training", name=name, task=TASK)
    print(f"{name}: {time.process_time() - began:.0f} processor seconds")
    save(model, out / f"{name}.npz")


if __name__ == "__main__":
    main()
