"""The trained networks of `trained.py`: where their weights and their images are."""

import functools
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pretrained  # noqa: E402
import trained_attention  # noqa: E402
import trained_cifar  # noqa: E402
from keras import layers as L  # noqa: E402
from photographs import SIZE, cifar10, photographs  # noqa: E402

from hh_keras import models  # noqa: E402


def mobilenet_v2():
    """MobileNetV2 as torchvision has it: padding on both sides, epsilon 1e-5."""

    def unit(x, layer, name, pad, relu=True):
        if pad:
            x = L.ZeroPadding2D(1, name=f"{name}_pad")(x)
        x = L.BatchNormalization(epsilon=1e-5, name=f"{name}_bn")(layer(x))
        return L.ReLU(6.0, name=f"{name}_relu")(x) if relu else x

    def conv(n, k, s, name):
        return L.Conv2D(n, k, s, use_bias=False, name=name)

    image = keras.Input((SIZE, SIZE, 3))
    mean, deviation = (123.675, 116.28, 103.53), np.array((58.395, 57.12, 57.375))
    x = L.Normalization(mean=mean, variance=deviation**2, name="rescale")(image)
    x = unit(x, conv(32, 3, 2, "conv1"), "conv1", True)
    width, number = 32, 0
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2))
    stages += ((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, channels, times, stride in stages:
        for k in range(times):
            number += 1
            name, step, y = f"block{number}", stride if k == 0 else 1, x
            if expand > 1:
                first = conv(width * expand, 1, 1, f"{name}_expand")
                y = unit(y, first, f"{name}_expand", False)
            depthwise = L.DepthwiseConv2D(
                3, step, use_bias=False, name=f"{name}_depthwise"
            )
            y = unit(y, depthwise, f"{name}_depthwise", True)
            last = conv(channels, 1, 1, f"{name}_project")
            y = unit(y, last, f"{name}_project", False, relu=False)
            same = step == 1 and width == channels
            x = L.Add(name=f"{name}_add")([x, y]) if same else y
            width = channels
    x = L.GlobalAveragePooling2D()(unit(x, conv(1280, 1, 1, "conv2"), "conv2", False))
    return keras.Model(image, L.Dense(1000, name="logits")(x), name="mobilenetv2")


def with_tensors(model, path):
    """A model with the tensors of a .pth file, whose layers stand in the same order."""
    named = pretrained.read_pth(path).items()
    tensors = iter([v for k, v in named if "num_batches" not in k])
    for layer in model.layers:
        if not layer.weights or layer.name == "rescale":
            continue
        values = [next(tensors) for _ in layer.weights]
        if isinstance(layer, L.DepthwiseConv2D):
            values = [values[0].transpose(2, 3, 0, 1)]
        elif isinstance(layer, L.Conv2D):
            values = [values[0].transpose(2, 3, 1, 0)]
        elif isinstance(layer, L.Dense):
            values = [values[0].T, values[1]]
        layer.set_weights(values)
    if next(tensors, None) is not None:
        raise SystemExit(f"{path} holds more weights than {model.name} has.")
    return model


def find(folder, pattern):
    paths = sorted(pathlib.Path(folder).rglob(pattern))
    if not paths:
        raise SystemExit(f"--weights={folder}: no {pattern} there.")
    return paths[0]


def scaled(model):
    """A network of -1 to 1 as one of pixels."""
    image = keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, model(L.Rescaling(1 / 127.5, -1)(image)), name=model.name)


@functools.cache
def cifar(folder):
    """The same of CIFAR-10."""
    calibration, _ = cifar10(folder, "train", 1000)
    return calibration, *cifar10(folder, "val")


def resnet(depth):
    return lambda folder: trained_cifar.load(
        trained_cifar.resnet(depth), find(folder, f"resnet{depth}.npz")
    )


def attending(name, seed):
    return lambda folder: trained_attention.load(
        trained_attention.NETWORKS[name](), find(folder, f"{name}_{seed}.npz")
    )


NETWORKS = {  # name: (model of a folder of weights, data of a folder of images)
    "mobilenetv2": (
        lambda folder: with_tensors(mobilenet_v2(), find(folder, "mobilenet_v2-*.pth")),
        photographs,
    ),
    "efficientnet_lite0": (
        lambda folder: pretrained.pretrained(find(folder, "efficientnet-lite0-*.pth")),
        photographs,
    ),
    "mobilenetv1_025": (
        lambda folder: scaled(
            models.build(str(find(folder, "keras2_mobilenet_v1_0.25*.h5")))
        ),
        photographs,
    ),
    "resnet20_cifar10": (resnet(20), cifar),
    "resnet56_cifar10": (resnet(56), cifar),
}
ATTENTION = {
    f"{name}_{seed}_cifar10": (attending(name, seed), cifar)
    for seed in (0, 1)
    for name in trained_attention.NETWORKS
}
NETWORKS |= ATTENTION
