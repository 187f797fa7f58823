"""Training a network that Torch-Pruning cut, with its original as teacher."""

import copy
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

BATCH, WARM_UP = 32, 0.05
TRIAL = 0.1  # of the seconds
SGD = [("SGD", rate) for rate in (0.003, 0.01, 0.03)]
ADAM = [("Adam", rate) for rate in (1e-4, 3e-4, 1e-3)]


def recovered(small, original, squares, side, seconds):
    """A trained copy of `small`; no label is looked at.

    SGD with momentum 0.9 on random pieces of the squares, flipped by chance; the loss
    is the divergence of the answers from the original's. The learning rate warms up and
    falls as half a cosine. Rates, and Adam where there is no BatchNormalization, are
    tried beforehand, with a tenth of the time each, which is not counted, and chosen by
    a tenth of the images, which is held out.

    Args:
        squares: uint8 tensor `(images, 3, height, width)`, larger than the pieces.
        side: pixels of a piece.
        seconds: processor time; learning takes as long.
    """
    held, learned = squares[: len(squares) // 10], squares[len(squares) // 10 :]
    edge = (squares.shape[-1] - side) // 2
    held = held[:, :, edge : edge + side, edge : edge + side].float()
    with torch.inference_mode():
        wanted = torch.cat([original(part) for part in held.split(BATCH)])

    def loss(way):
        model = train(small, original, learned, side, seconds * TRIAL, way)
        with torch.inference_mode():
            found = torch.cat([model(part) for part in held.split(BATCH)])
        same = (found.argmax(1) == wanted.argmax(1)).float().mean()
        value = divergence(found, wanted).item()
        print(f"{way}: loss {value:.3f}, agreement {same:.3f}", flush=True)
        return value if math.isfinite(value) else math.inf

    normed = any(isinstance(m, nn.BatchNorm2d) for m in small.modules())
    ways = SGD if normed else SGD + ADAM
    return train(small, original, learned, side, seconds, min(ways, key=loss))


def train(small, original, squares, side, seconds, way):
    model, random = copy.deepcopy(small).train(), np.random.default_rng(0)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = 0.1
    kind, rate = way
    if kind == "SGD":
        optimizer = torch.optim.SGD(model.parameters(), rate, 0.9, nesterov=True)
    else:
        optimizer = torch.optim.Adam(model.parameters(), rate)
    began, order = time.process_time(), []
    while (progress := (time.process_time() - began) / seconds) < 1:
        if len(order) < BATCH:
            order = random.permutation(len(squares)).tolist()
        images = pieces(squares, [order.pop() for _ in range(BATCH)], side, random)
        with torch.inference_mode():
            wanted = original(images)
        for group in optimizer.param_groups:
            fall = (1 + math.cos(math.pi * progress)) / 2
            group["lr"] = rate * min(progress / WARM_UP, 1) * fall
        optimizer.zero_grad()
        divergence(model(images), wanted.clone()).backward()
        optimizer.step()
    return model.eval()


def pieces(squares, chosen, side, random):
    """A random piece of each chosen square, half of them flipped."""
    parts = []
    for k in chosen:
        y, x = random.integers(squares.shape[-1] - side + 1, size=2)
        part = squares[k, :, y : y + side, x : x + side]
        parts.append(part.flip(-1) if random.random() < 0.5 else part)
    return torch.stack(parts).float()


def divergence(found, wanted):
    """Kullback-Leibler, in nats, mean over the images."""
    return F.kl_div(
        F.log_softmax(found, 1), F.softmax(wanted, 1), reduction="batchmean"
    )
