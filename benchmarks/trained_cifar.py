"""ResNet-20 and ResNet-56 on CIFAR-10, for `trained.py`; and their adaptation to JPEGs.

    python benchmarks/trained_cifar.py --photos=FOLDER --weights=weights --network=20

Published weights (`cifar10_resnet20.npz`, `cifar10_resnet56.npz`: PyTorch's names and
axes) were trained on CIFAR-10's own pixels and lose about ten points on images that
went through JPEG. The command trains them on `cifar10/train/<class>/*.jpg` for some
epochs and writes `resnet20.npz`, `resnet56.npz` of the same names, which `trained.py`
reads. Started again, it goes on after the last whole epoch.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers as L  # noqa: E402
from photographs import cifar10  # noqa: E402

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH, RATE, SHIFT = 128, 0.01, 4
TENSORS = {  # a layer's weights, in Keras' order
    L.Conv2D: ("weight",),
    L.BatchNormalization: ("weight", "bias", "running_mean", "running_var"),
    L.Dense: ("weight", "bias"),
}


def resnet(depth):
    """ResNet for CIFAR-10 (arXiv:1512.03385, 4.2) of pixels from 0 to 255, logits.

    Shortcuts are option A: where the size is halved, every second pixel, with planes of
    zeros before and behind. Layers have the names that they have in PyTorch.
    """

    def conv_bn(x, width, stride, conv, bn):
        if stride > 1:  # on both sides, as PyTorch pads
            x = L.ZeroPadding2D(1)(x)
        padding = "valid" if stride > 1 else "same"
        x = L.Conv2D(width, 3, stride, padding, use_bias=False, name=conv)(x)
        return L.BatchNormalization(momentum=0.9, epsilon=1e-5, name=bn)(x)

    image = keras.Input((32, 32, 3))
    mean, deviation = 255 * np.array(MEAN), 255 * np.array(DEVIATION)
    x = L.Normalization(mean=mean, variance=deviation**2, name="rescale")(image)
    x = L.ReLU()(conv_bn(x, 16, 1, "conv1", "bn1"))
    for stage, width in enumerate((16, 32, 64), 1):
        for number in range((depth - 2) // 6):
            name, stride = f"layer{stage}.{number}", 1 + (stage > 1 and number == 0)
            y = conv_bn(x, width, stride, f"{name}.conv1", f"{name}.bn1")
            y = conv_bn(L.ReLU()(y), width, 1, f"{name}.conv2", f"{name}.bn2")
            if stride > 1:
                x = L.AveragePooling2D(1, 2)(x)
                zeros = (width - x.shape[-1]) // 2
                x = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (zeros, zeros)))
            x = L.ReLU()(L.Add(name=f"{name}.add")([x, y]))
    x = L.Dense(10, name="linear")(L.GlobalAveragePooling2D()(x))
    return keras.Model(image, x, name=f"resnet{depth}")


def load(model, path):
    """A model with the tensors of an .npz file."""
    with np.load(path) as tensors:
        for layer in model.layers:
            names = [f"{layer.name}.{n}" for n in TENSORS.get(type(layer), ())]
            values = [tensors[name] for name in names]
            if names:
                layer.set_weights(
                    [v.transpose(2, 3, 1, 0) if v.ndim == 4 else v.T for v in values]
                )
    return model


def save(model, path):
    """Writes the tensors of a model as `load` reads them."""
    tensors = {}
    for layer in model.layers:
        for name, value in zip(TENSORS.get(type(layer), ()), layer.get_weights()):
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
            tensors[f"{layer.name}.{name}"] = value
    np.savez(path, **tensors)


def moved(image, label):
    """A flip by chance, and a shift of up to four pixels."""
    side = 32 + 2 * SHIFT
    image = tf.image.resize_with_crop_or_pad(image, side, side)
    image = tf.image.random_crop(image, (32, 32, 3))
    return tf.image.random_flip_left_right(image), label


def adapt(model, train, test, epochs, backup):
    """Trains a model on `(pixels, labels)` with a cosine schedule."""
    data = tf.data.Dataset.from_tensor_slices(train).shuffle(len(train[0]))
    data = data.map(moved, tf.data.AUTOTUNE).batch(BATCH, drop_remainder=True)
    steps = epochs * (len(train[0]) // BATCH)
    model.compile(
        keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(RATE, steps), 0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    print("before", model.evaluate(*test, BATCH, verbose=0), flush=True)
    again = keras.callbacks.BackupAndRestore(backup)
    again = [again, keras.callbacks.CSVLogger(f"{backup}.csv", append=True)]
    data = data.prefetch(tf.data.AUTOTUNE)
    model.fit(data, epochs=epochs, callbacks=again, validation_data=test, verbose=2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True, help="the folder of cifar10/")
    parser.add_argument("--weights", required=True, help="a folder of weights files")
    parser.add_argument("--network", type=int, choices=(20, 56), required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", default="weights", help="where the .npz is written")
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    name = f"resnet{args.network}"
    path = next(pathlib.Path(args.weights).rglob(f"cifar10_{name}.npz"), None)
    if path is None:
        raise SystemExit(f"--weights={args.weights}: no cifar10_{name}.npz there.")
    model = load(resnet(args.network), path)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    train, test = cifar10(args.photos, "train"), cifar10(args.photos, "val")
    adapt(model, train, test, args.epochs, str(out / name))
    save(model, out / f"{name}.npz")


if __name__ == "__main__":
    main()
