"""Training steps of ResNet-20 by PyTorch; benchmarks/training_step.py starts this.

    python benchmarks/training_step_torch.py channels_last

The network, batch, loss, optimiser and running measures of training_step.py. For every
number read from the standard input, as many steps are taken and their seconds printed.
"""

import sys
import time

import torch
from torch import nn

BATCH = 128


def conv_bn(inputs, outputs, size, stride=1):
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x):
        y = self.second(self.first(x).relu_())
        return (y + self.shortcut(x)).relu_()


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [16] * 4 + [32] * 3 + [64] * 3
        strides = [1, 1, 1, 2, 1, 1, 2, 1, 1]
        blocks = map(Block, widths, widths[1:], strides)
        self.body = nn.Sequential(conv_bn(3, 16, 3), nn.ReLU(), *blocks)
        self.head = nn.Linear(64, 10)

    def forward(self, pixels):
        x = self.body(pixels / 127.5 - 1)
        return self.head(x.mean((2, 3)))


def stepper(layout):
    torch.manual_seed(0)
    network = ResNet20().to(memory_format=layout)
    settings = {"momentum": 0.9, "weight_decay": 1e-4}
    sgd = torch.optim.SGD(network.parameters(), 0.01, **settings)
    images = (255 * torch.rand(BATCH, 3, 32, 32)).to(memory_format=layout)
    labels = torch.randint(0, 10, (BATCH,))
    sums = torch.zeros(2)

    def step():
        outputs = network(images)
        loss = nn.functional.cross_entropy(outputs, labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        hits = (outputs.argmax(1) == labels).float().mean()
        sums.add_(torch.stack([loss.detach(), hits]))
        return float(sums[0])

    return step


def main():
    step = stepper(getattr(torch, sys.argv[1]))
    step()
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
