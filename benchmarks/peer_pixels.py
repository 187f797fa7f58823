"""Networks of PyTorch that take pixels from 0 to 255."""

import torch
from torch import nn

IMAGENET = [
    [255 * n for n in each] for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
]


class Pixels(nn.Module):
    """`(pixels - mean) / deviation`, for each colour or for all."""

    def __init__(self, mean, deviation):
        super().__init__()
        for name, values in (("mean", mean), ("deviation", deviation)):
            values = torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1)
            self.register_buffer(name, values)

    def forward(self, x):
        return (x - self.mean) / self.deviation


def network(pixels, *layers):
    return nn.Sequential(Pixels(*pixels), *layers).eval()
