"""The networks of `trained_attention.py` in PyTorch, as Torch-Pruning can read them."""

import numpy as np
import torch
from peer_pixels import IMAGENET, network
from torch import nn

EPSILON = 1e-6


class Attention(nn.Module):
    """As in timm, of whose ViT Torch-Pruning has an example: q, k and v of one layer.

    Scores keep the original's factor when heads become smaller.
    """

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.factor = heads, (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, places, _ = x.shape
        x = self.qkv(x).reshape(batch, places, 3, self.heads, -1)
        q, k, v = x.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * self.factor) @ k.transpose(-2, -1)
        x = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, places, -1)
        return self.proj(x)

    def products(self, places):
        """Multiply-accumulates of queries with keys and of scores with values."""
        return 2 * places**2 * self.proj.in_features


class Perceptron(nn.Sequential):
    def __init__(self, width):
        hidden = nn.Linear(width, 4 * width)
        super().__init__(hidden, nn.GELU(), nn.Linear(4 * width, width))


def norm(width):
    return nn.LayerNorm(width, EPSILON)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attention = norm(width), Attention(width, heads)
        self.norm2, self.mlp = norm(width), Perceptron(width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, width=96, depth=6, heads=6, patch=4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.positions = nn.Parameter(torch.zeros(1, (32 // patch) ** 2, width))
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(depth)])
        self.norm, self.head = norm(width), nn.Linear(width, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(x)).mean(1))


class Last(nn.Module):
    """A layer of the last axis, on images whose channels are the second."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvBlock(nn.Module):
    def __init__(self, width, kernel):
        super().__init__()
        self.depthwise = nn.Conv2d(
            width, width, kernel, padding=kernel // 2, groups=width
        )
        self.mlp = Last(norm(width), Perceptron(width))

    def forward(self, x):
        return x + self.mlp(self.depthwise(x))


class ConvNeXt(nn.Module):
    def __init__(self, widths=(40, 80, 160), depths=(2, 2, 2), kernel=5):
        super().__init__()
        layers, inputs = [], 3
        for width, depth in zip(widths, depths):
            layers += [Last(norm(inputs))] if layers else []
            layers += [nn.Conv2d(inputs, width, 2, 2)]
            layers += [] if len(layers) > 1 else [Last(norm(width))]
            layers += [ConvBlock(width, kernel) for _ in range(depth)]
            inputs = width
        self.layers = nn.Sequential(*layers)
        self.norm, self.head = norm(inputs), nn.Linear(inputs, 10)

    def forward(self, x):
        return self.head(self.norm(self.layers(x).mean((2, 3))))


def vit(path):
    """A ViT with the weights that `trained_attention.py` wrote."""
    model, values = ViT(), _Values(path)
    values.put(model.patches, "patches")
    values.put(model.norm, "norm")
    values.put(model.head, "logits")
    model.positions.data = values.take("positions/places")[None]
    for k, block in enumerate(model.blocks):
        name, attention = f"block{k}", block.attention
        values.put(block.norm1, f"{name}_norm1")
        values.put(block.norm2, f"{name}_norm2")
        own = f"{name}_attention"
        parts = [f"{own}/{part}" for part in ("query", "key", "value")]
        # (width, heads, size) for each, and (heads, size, width) in the end.
        kernels = [values.take(f"{part}/kernel").flatten(1).T for part in parts]
        biases = [values.take(f"{part}/bias").flatten() for part in parts]
        attention.qkv.weight.data = torch.cat(kernels)
        attention.qkv.bias.data = torch.cat(biases)
        output = values.take(f"{own}/attention_output/kernel")
        attention.proj.weight.data = output.flatten(0, 1).T.contiguous()
        attention.proj.bias.data = values.take(f"{own}/attention_output/bias")
        values.put(block.mlp[0], f"{name}_hidden")
        values.put(block.mlp[2], f"{name}_out")
    return values.checked(model)


def convnext(path):
    """A ConvNeXt with the weights that `trained_attention.py` wrote."""
    model, values = ConvNeXt(), _Values(path)
    stage = block = -1
    for layer in model.layers:
        if isinstance(layer, ConvBlock):
            block += 1
            name = f"stage{stage}_block{block}"
            hidden = layer.mlp.layers[1]
            values.put(layer.depthwise, f"{name}_depthwise")
            values.put(layer.mlp.layers[0], f"{name}_norm")
            values.put(hidden[0], f"{name}_hidden")
            values.put(hidden[2], f"{name}_out")
        elif isinstance(layer, nn.Conv2d):
            stage, block = stage + 1, -1
            values.put(layer, f"stage{stage}")
        else:  # before the convolution of a stage, but for the first
            values.put(layer.layers[0], f"stage{stage + (stage + block > 0)}_norm")
    values.put(model.norm, "norm")
    values.put(model.head, "logits")
    return values.checked(model)


class _Values:
    """Weights by Keras' names, each to be taken once."""

    def __init__(self, path):
        with np.load(path) as file:
            self.left = {name: torch.tensor(value) for name, value in file.items()}
        self.path = path

    def take(self, name):
        return self.left.pop(name)

    def put(self, layer, name):
        """A layer's weights, with the axes that PyTorch has."""
        if isinstance(layer, nn.LayerNorm):
            layer.weight.data = self.take(f"{name}/gamma")
            layer.bias.data = self.take(f"{name}/beta")
            return
        kernel = self.take(f"{name}/kernel")
        if kernel.ndim == 4:
            depthwise = layer.groups > 1
            kernel = kernel.permute((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        else:
            kernel = kernel.T
        if kernel.shape != layer.weight.shape:
            raise SystemExit(f"{self.path}: {name} has another size.")
        layer.weight.data = kernel.contiguous()
        layer.bias.data = self.take(f"{name}/bias")

    def checked(self, model):
        """Refuses a network that does not answer as Keras' does."""
        images, outputs = self.take("probe/images"), self.take("probe/outputs")
        if self.left:
            raise SystemExit(f"{self.path} holds more: {sorted(self.left)}.")
        model = network(IMAGENET, model)
        with torch.inference_mode():
            found = model(images.permute(0, 3, 1, 2).float())
        error = ((found - outputs).abs().max() / outputs.std()).item()
        print(f"{self.path}: outputs of Keras' network to {error:.1e}", flush=True)
        if not error < 1e-4:
            raise SystemExit(f"{self.path}: PyTorch's network answers otherwise.")
        return model


def attentions(model):
    return [m for m in model.modules() if isinstance(m, Attention)]


def others(model):
    """All layers but those of hidden channels."""
    inside = [m[0] for m in model.modules() if isinstance(m, Perceptron)]
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    return [m for m in layers if not any(m is each for each in inside)]
