"""The networks of `trained.py` in PyTorch: same weights, pixels from 0 to 255."""

import pathlib
import re

import numpy as np
import peer_attention
import torch
import torch.nn.functional as F
import torch_pruning
from peer_pixels import IMAGENET, network
from torch import nn


def unit(inputs, outputs, kernel=1, stride=1, groups=1, relu=True):
    """A convolution as TensorFlow pads it for even sizes, BatchNormalization, ReLU6."""
    before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
    layers = [nn.ZeroPad2d((before, after, before, after))] if before != after else []
    layers += [
        nn.Conv2d(
            inputs,
            outputs,
            kernel,
            stride,
            0 if layers else before,
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm2d(outputs, eps=1e-3),
    ]
    return nn.Sequential(*layers, *[nn.ReLU6()] * relu)


def head(inputs, classes):
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)


class Residual(nn.Module):
    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, x):
        return x + self.inside(x)


def mobilenet_v2(folder):
    import torchvision  # of use for this network alone

    model = torchvision.models.mobilenet_v2()
    model.load_state_dict(torch.load(find(folder, "mobilenet_v2-*.pth")))
    return network(((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)), model)


def efficientnet_lite0(folder):
    layers, width = [unit(3, 32, 3, 2)], 32
    stages = ((1, 3, 1, 1, 16), (6, 3, 2, 2, 24), (6, 5, 2, 2, 40), (6, 3, 3, 2, 80))
    stages += ((6, 5, 3, 1, 112), (6, 5, 4, 2, 192), (6, 3, 1, 1, 320))
    for expand, kernel, times, stride, channels in stages:
        for k in range(times):
            wide, step = expand * width, stride if k == 0 else 1
            first = [unit(width, wide)] if expand > 1 else []
            block = nn.Sequential(
                *first,
                unit(wide, wide, kernel, step, wide),
                unit(wide, channels, relu=False),
            )
            same = step == 1 and width == channels
            layers.append(Residual(block) if same else block)
            width = channels
    layers += [unit(width, 1280), *head(1280, 1000)]
    path = find(folder, "efficientnet-lite0-*.pth")
    return network((127.0, 128.0), *with_tensors(layers, torch.load(path).values()))


def mobilenet_v1_025(folder):
    import h5py  # for this file alone

    widths = (8, 16, 32, 32, 64, 64, *[128] * 6, 256, 256)
    halved = (2, 4, 6, 12)
    layers = [unit(3, 8, 3, 2)]
    for k in range(1, 14):
        layers.append(
            nn.Sequential(
                unit(widths[k - 1], widths[k - 1], 3, 1 + (k in halved), widths[k - 1]),
                unit(widths[k - 1], widths[k]),
            )
        )
    layers += head(256, 1000)
    names = ["conv1", "conv1_bn"]
    for k in range(1, 14):
        names += [f"conv_dw_{k}", f"conv_dw_{k}_bn", f"conv_pw_{k}", f"conv_pw_{k}_bn"]
    tensors = []
    with h5py.File(find(folder, "keras2_mobilenet_v1_0.25*.h5")) as file:
        for name in [*names, "conv_preds"]:
            group = file["model_weights"][name][name]
            order = {"gamma": 0, "beta": 1, "moving_mean": 2, "moving_variance": 3}
            for key in sorted(group, key=lambda key: order.get(key[:-2], -len(key))):
                value = torch.tensor(np.asarray(group[key]))
                if value.ndim == 4:
                    depthwise = key.startswith("depthwise")
                    value = value.permute((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
                tensors.append(value.squeeze() if name == "conv_preds" else value)
    return network((127.5, 127.5), *with_tensors(layers, tensors))


class Shortcut(nn.Module):
    """Option A of a ResNet: every second pixel, planes of zeros before and behind.

    A matrix of zeros and ones says which channel goes where: a convolution, so that the
    graph can be read, that is counted as what it is, no multiplication.
    """

    def __init__(self, inputs, outputs):
        super().__init__()
        start = (outputs - inputs) // 2
        matrix = torch.zeros(outputs, inputs, 1, 1)
        matrix[range(start, start + inputs), range(inputs)] = 1
        self.register_buffer("matrix", matrix)

    def forward(self, x):
        return F.conv2d(x, self.matrix, stride=2)


class ShortcutPruner(torch_pruning.function.BasePruningFunc):
    """Teaches Torch-Pruning a `Shortcut` (its README, "Customized Layers")."""

    def prune_out_channels(self, layer, idxs):
        return self._without(layer, idxs, 0)

    def prune_in_channels(self, layer, idxs):
        return self._without(layer, idxs, 1)

    def _without(self, layer, idxs, axis):
        kept = sorted(set(range(layer.matrix.shape[axis])) - set(idxs))
        layer.matrix = layer.matrix.index_select(axis, torch.tensor(kept))
        return layer

    def get_out_channels(self, layer):
        return layer.matrix.shape[0]

    def get_in_channels(self, layer):
        return layer.matrix.shape[1]


class Block(nn.Module):
    """Two convolutions and what they are added to, with the names of the weights."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if stride == 1 else Shortcut(inputs, outputs)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def resnet(depth, folder):
    """ResNet for CIFAR-10 with adapted weights; see `trained_cifar.py`."""
    parts = {"conv1": nn.Conv2d(3, 16, 3, 1, 1, bias=False)}
    parts |= {"bn1": nn.BatchNorm2d(16), "relu": nn.ReLU()}
    width = 16
    for stage, outputs in enumerate((16, 32, 64), 1):
        blocks = []
        for _ in range((depth - 2) // 6):
            blocks.append(Block(width, outputs, outputs // width))
            width = outputs
        parts[f"layer{stage}"] = nn.Sequential(*blocks)
    parts |= zip(("pool", "flatten", "linear"), head(64, 10))
    model = nn.Sequential()
    for name, part in parts.items():
        model.add_module(name, part)
    with np.load(find(folder, f"resnet{depth}.npz")) as file:
        tensors = {k: torch.tensor(v) for k, v in file.items() if "num_b" not in k}
    missing, unknown = model.load_state_dict(tensors, strict=False)
    left = [n for n in missing if not n.endswith(("num_batches_tracked", "matrix"))]
    if left or unknown:
        raise SystemExit(f"resnet{depth}.npz: without {left}, unknown {unknown}.")
    return network(IMAGENET, model)


def with_tensors(layers, tensors):
    """Layers with the tensors of a file, which stand in the same order."""
    model = nn.Sequential(*layers)
    values = [v for v in tensors if v.ndim]
    state = model.state_dict()
    names = [n for n in state if not n.endswith("num_batches_tracked")]
    if [state[n].shape for n in names] != [v.shape for v in values]:
        raise SystemExit("a file of weights does not hold what the network has.")
    model.load_state_dict(dict(zip(names, values)), strict=False)
    return model


def find(folder, pattern):
    paths = sorted(pathlib.Path(folder).rglob(pattern))
    if not paths:
        raise SystemExit(f"--weights={folder}: no {pattern} there.")
    return paths[0]


def attending(build, seed):
    """Of `trained_attention.py`."""
    return lambda folder: build(find(folder, f"{build.__name__}_{seed}.npz"))


NETWORKS = {
    "mobilenetv2": mobilenet_v2,
    "efficientnet_lite0": efficientnet_lite0,
    "mobilenetv1_025": mobilenet_v1_025,
    "resnet20_cifar10": lambda folder: resnet(20, folder),
    "resnet56_cifar10": lambda folder: resnet(56, folder),
}
for seed in (0, 1):
    for build in (peer_attention.vit, peer_attention.convnext):
        NETWORKS[f"{build.__name__}_{seed}_cifar10"] = attending(build, seed)


def cost(model, image_shape):
    """`(macs, params)` counted as `hh_keras.cost` does.

    MACs of convolutions, dense layers and attention's products for one image; all
    weights that are kept, statistics of BatchNormalization too.
    """
    macs = []

    def products(layer, _, output):
        macs.append(layer.products(output.shape[1]))

    def count(layer, _, output):
        macs.append(layer.weight[0].numel() * output[0].numel())

    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    for layer in peer_attention.attentions(model):
        hooks.append(layer.register_forward_hook(products))
    with torch.inference_mode():
        model(torch.zeros(1, *image_shape))
    for hook in hooks:
        hook.remove()
    own = re.compile(r"num_batches_tracked$|matrix$|^0\.")
    params = [v.numel() for n, v in model.state_dict().items() if not own.search(n)]
    return sum(macs), sum(params)
