"""The peer of `trained.py`: Torch-Pruning with the same weights, images and MACs.

    python -m venv peer
    peer/bin/pip install torch==2.14.1 torchvision==0.29.1 torch-pruning==1.6.1 \
        numpy pillow h5py
    peer/bin/python benchmarks/trained_peer.py --photos=FOLDER --weights=weights

An environment of its own, as nothing of this project is used. Rows are appended to
`results/trained.jsonl`, of which `trained.py` makes table and picture; what is there
is not run again. `--recover=10` then trains, as `peer_recovery.py` has it, the best of
each network at each of `--shares` for ten minutes of two cores: 1,200 processor
seconds, on the images that `trained_recovery.py` learns from.

Importances and pruner are used as the README of Torch-Pruning has them: groups, L2
norms, or gradients of the calibration images, the classifier's outputs ignored; ranked
over the whole network, among groups of the same structure ("isomorphic"), or the same
share of each layer ("uniform"). The channel ratio is searched until the MACs are at
most, and closest to, the share; they are counted as `hh_keras.cost` does. "iterative"
goes from share to share in steps of 5 % of the MACs and takes new gradients at each.
Labels of photographs are the network's own answers, those of CIFAR-10 the true ones.
Of attention, the numbers of all heads alike leave, or, "heads", whole heads in their
place, as in its example for ViTs. "hidden alone" leaves all else as it is.

What is done in the peer's favour: `accumulate_grad` of GroupHessianImportance 1.6.1
keeps only the last image's squares (it looks parameters up by their names), so they
are summed up here. "BN" estimates the statistics of BatchNormalization anew on all
calibration images, in steps after each: every way at 0.8x, and at all shares that which
there did best *on the tests*, for each importance.
"""

import argparse
import copy
import json
import pathlib
import time
import warnings

import numpy as np
import peer_attention
import torch
import torch.nn.functional as F
import torch_pruning
from peer_networks import NETWORKS, Shortcut, ShortcutPruner, cost
from peer_recovery import recovered
from photographs import calibration_paths, cifar10, photographs, square
from torch import nn

RESULTS = pathlib.Path(__file__).parent / "results"
PEER, CORES = "Torch-Pruning", 2
SHARES, TRIED = (0.9, 0.8, 0.7, 0.6, 0.5), 0.8
STEP, SPARE = 0.05, 0.001  # of the original's MACs
PADDED = 4  # pixels on each side of a small image, of which pieces are cut
IMAGES, STEP_IMAGES = 512, 128  # for gradients, and for those of each step
METHODS = {  # name: (importance, ranking, steps)
    "L2": ("L2", "global", False),
    "Hessian": ("Hessian", "global", False),
    "Taylor": ("Taylor", "global", False),
    "L2, uniform": ("L2", "uniform", False),
    "Hessian, uniform": ("Hessian", "uniform", False),
    "Taylor, uniform": ("Taylor", "uniform", False),
    "Hessian, isomorphic": ("Hessian", "isomorphic", False),
    "Taylor, isomorphic": ("Taylor", "isomorphic", False),
    "L2, isomorphic": ("L2", "isomorphic", False),
    "Hessian, iterative": ("Hessian", "global", True),
    "Taylor, iterative": ("Taylor", "global", True),
    "L2, iterative": ("L2", "global", True),
    "Hessian, isomorphic, iterative": ("Hessian", "isomorphic", True),
    "Taylor, isomorphic, iterative": ("Taylor", "isomorphic", True),
}
ATTENTION = {  # further ones of networks with attention
    f"{name}, heads": (*method, "heads")
    for name, method in METHODS.items()
    if method[1] != "uniform"
}
ALONE = {  # where only hidden channels leave
    f"{name}, hidden alone": (*METHODS[name], "hidden")
    for name in ("Taylor", "Taylor, isomorphic", "Hessian, isomorphic")
}
EVERY = METHODS | ATTENTION | ALONE
IMPORTANCES = {
    "L2": lambda: torch_pruning.importance.GroupMagnitudeImportance(p=2),
    "Taylor": torch_pruning.importance.GroupTaylorImportance,
    "Hessian": torch_pruning.importance.GroupHessianImportance,
}


def tensor(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def answers(model, images, batch):
    """The best class of each image; BatchNormalization is folded to save time."""
    shape = (batch, *tensor(images[:1]).shape[1:])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(copy.deepcopy(model).eval(), torch.zeros(shape))
        fast = torch.jit.freeze(traced)
        parts = range(0, len(images), batch)
        found = [fast(tensor(images[i : i + batch])).argmax(1) for i in parts]
    return torch.cat(found).numpy()


def gradients(model, images, labels):
    """Sums over the images of the gradients, and of their squares, per parameter."""
    sums = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    squares = copy.deepcopy(sums)
    for image, label in zip(tensor(images), torch.from_numpy(labels)):
        model.zero_grad()
        F.cross_entropy(model(image[None]), label[None]).backward()
        for name, parameter in model.named_parameters():
            sums[name] += parameter.grad
            squares[name] += parameter.grad**2
    model.zero_grad()
    return {"Taylor": sums, "Hessian": squares}


def cut(model, method, found, ratio, image_shape):
    """A copy of a model without a share of its channels."""
    importance, ranking, _, *kind = method
    small = copy.deepcopy(model)
    for name, parameter in small.named_parameters():
        if importance in found:
            parameter.grad = found[importance][name].clone()
    ignored = [m for m in small.modules() if isinstance(m, nn.Linear)][-1:]
    if kind == ["hidden"]:
        ignored = peer_attention.others(small)
    attentions = peer_attention.attentions(small)
    pruner = torch_pruning.pruner.BasePruner(
        small,
        torch.zeros(1, *image_shape),
        IMPORTANCES[importance](),
        global_pruning=ranking != "uniform",
        isomorphic=ranking == "isomorphic",
        pruning_ratio=ratio,
        ignored_layers=ignored,
        customized_pruners={Shortcut: ShortcutPruner()},
        in_channel_groups={},  # the defaults are shared, and keep every model alive
        out_channel_groups={},
        num_heads={m.qkv: m.heads for m in attentions},
        prune_num_heads=kind == ["heads"],
        prune_head_dims=kind != ["heads"],
        head_pruning_ratio=ratio if kind == ["heads"] else 0.0,
    )
    pruner.step()
    for attention in attentions:  # 0 where all were to go, which it does not do
        attention.heads = pruner.num_heads[attention.qkv] or attention.heads
    small.zero_grad()
    return small


def fitted(model, method, found, macs, image_shape):
    """The cut whose MACs are at most, and closest to, a limit.

    Bisection and interpolation in turns, as MACs are nearly linear in the ratio.
    """
    spare = SPARE * macs
    low, most, high, least = 0.0, cost(model, image_shape)[0], 1.0, 0
    best, best_macs = None, -1
    for k in range(24):
        part = (most - macs + spare / 2) / (most - least) if k % 2 == 0 else 0.5
        ratio = low + (high - low) * min(max(part, 0.02), 0.98)
        small = cut(model, method, found, ratio, image_shape)
        count = cost(small, image_shape)[0]
        if count > macs:
            low, most = ratio, count
        else:
            high, least = ratio, count
            if count > best_macs:
                best, best_macs = small, count
        if best_macs >= macs - spare or high - low < 1e-5:
            break
    return best


def methods_of(model):
    attends = peer_attention.attentions(model)
    return [*METHODS, *(ATTENTION if attends else ()), *(() if norms(model) else ALONE)]


def norms(model):
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def estimated(model, images, batch):
    """The model with statistics of BatchNormalization of these images alone."""
    for norm in norms(model):
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    model.train()
    with torch.no_grad():
        for i in range(0, len(images) - batch + 1, batch):
            model(tensor(images[i : i + batch]))
    return model.eval()


def cuts(model, method, again, data, shares):
    """Yields `(share, smaller model)`, large first; `again` estimates statistics."""
    importance, _, steps, *_ = method
    small, share = model, 1.0
    for wanted in shares:
        if not steps:
            small, share = model, wanted + STEP
        while share > wanted + STEP / 2:
            share = round(share - STEP, 2)
            found = {} if importance == "L2" else data.gradients(small, steps)
            limit = share * data.full[0]
            small = fitted(small, method, found, limit, data.shape)
            if again:
                small = estimated(small, data.calibration, 100)
        yield wanted, small


class Data:
    """Images of a network, and what is known of it.

    Its own answers are the labels of the calibration images, if there are no others.
    """

    def __init__(self, model, calibration, tests, test_labels, labels=None, batch=10):
        self.calibration, self.batch, self.tests = calibration, batch, tests
        self.test_labels, self.wanted = test_labels, answers(model, tests, batch)
        self.shape = tuple(tensor(tests[:1]).shape[1:])
        self.full, self.once = cost(model, self.shape), None
        self.labels = answers(model, calibration, batch) if labels is None else labels

    def gradients(self, model, steps):
        """Those of an original are kept."""
        if steps:
            part = slice(STEP_IMAGES)
            return gradients(model, self.calibration[part], self.labels[part])
        part = slice(IMAGES)
        self.once = self.once or gradients(
            model, self.calibration[part], self.labels[part]
        )
        return self.once

    def row(self, small):
        found = answers(small, self.tests, self.batch)
        macs, params = cost(small, self.shape)
        return {
            "macs": macs / self.full[0],
            "params": params / self.full[1],
            "top1": float((found == self.test_labels).mean()),
            "agreement": float((found == self.wanted).mean()),
            "images": len(found),
        }


def data_of(name, model, folder):
    if "cifar10" not in name:
        return Data(model, *photographs(folder))
    calibration, labels = cifar10(folder, "train", 1000)
    return Data(model, calibration, *cifar10(folder, "val"), labels, 100)


def measure(name, model, data, path, methods):
    """Writes a row for each method and share that is not there yet."""

    def rows(method, again):
        title = f"{PEER} {method}" + (", BN" if again else "")
        return title, [r for r in rows_of(path, name) if r["method"] == title]

    def run(method, again, shares=SHARES):
        title, known = rows(method, again)
        left = [s for s in shares if s not in {r["share"] for r in known}]
        started = time.perf_counter()
        for share, small in cuts(model, EVERY[method], again, data, left):
            seconds = round(time.perf_counter() - started, 1)
            head = {"network": name, "method": title, "share": share}
            write(path, head | data.row(small) | {"seconds": seconds})
            started = time.perf_counter()

    def top1(method):
        return next(r["top1"] for r in rows(method, True)[1] if r["share"] == TRIED)

    for method in methods:
        run(method, False)
    if not norms(model):
        return  # "BN" would be the same again
    for method in methods:
        run(method, True, (TRIED,))
    for importance in IMPORTANCES:
        own = [m for m in methods if EVERY[m][0] == importance]
        if own:
            run(max(own, key=top1), True)


def recover(name, model, data, squares, minutes, share, path):
    """Trains the peer that is best at a share, and writes a row."""
    rows = [r for r in rows_of(path, name) if r["method"].startswith(PEER)]
    rows = [r for r in rows if r["share"] == share and "minutes" not in r["method"]]
    best = max(rows, key=lambda r: r["top1"])["method"]
    title = f"{best}, {minutes:g} minutes"
    if (title, share) in {(r["method"], r["share"]) for r in rows_of(path, name)}:
        return
    method = EVERY[best.removeprefix(f"{PEER} ").removesuffix(", BN")]
    ((_, small),) = cuts(model, method, best.endswith(", BN"), data, (share,))
    seconds = 60 * CORES * minutes
    small = recovered(small, model, squares, data.shape[-1], seconds)
    head = {"network": name, "method": title, "share": share}
    write(path, head | data.row(small) | {"seconds": seconds / CORES})


def squares_of(name, folder):
    """Images to learn from, uint8 `(images, 3, height, width)`, larger than pieces."""
    if "cifar10" in name:
        images, _ = cifar10(folder, "train")
        edges = ((0, 0), (PADDED, PADDED), (PADDED, PADDED), (0, 0))
        images = np.pad(images, edges, "reflect")
    else:
        images = np.stack([square(p) for p in calibration_paths(folder)])
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def rows_of(path, network):
    lines = path.read_text().splitlines() if path.exists() else []
    return [r for r in map(json.loads, lines) if r["network"] == network]


def write(path, row):
    print(row, flush=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True, help="the folder of all images")
    parser.add_argument("--weights", required=True, help="a folder of weights files")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--methods", nargs="*", help="all, if none are given")
    parser.add_argument("--recover", type=float, help="minutes of training")
    parser.add_argument("--shares", nargs="*", type=float, default=(0.7,))
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Unwrapped parameters")  # its guess is right
    path = RESULTS / "trained.jsonl"
    for name in args.networks:
        model = NETWORKS[name](args.weights)
        data = data_of(name, model, args.photos)
        original = float((data.wanted == data.test_labels).mean())
        print(name, *data.full, f"top-1 {original:.4f}", flush=True)
        measure(name, model, data, path, args.methods or methods_of(model))
        for share in args.shares if args.recover else ():
            squares = squares_of(name, args.photos)
            recover(name, model, data, squares, args.recover, share, path)


if __name__ == "__main__":
    main()
