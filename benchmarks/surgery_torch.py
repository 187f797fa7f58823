"""One surgery by Torch-Pruning, timed; benchmarks/surgery.py starts this.

    python benchmarks/surgery_torch.py resnet50 0.3

Needs torch, torchvision and torch-pruning. Dependency graph, L2 magnitudes, global
ranking, one pruning step. Prints seconds and the share of MACs that is left as JSON.
"""

import json
import sys
import time

import torch
import torch_pruning
import torchvision


def main():
    name, ratio = sys.argv[1], float(sys.argv[2])
    prune("resnet18", ratio)
    print(json.dumps(prune(name, ratio)))


def prune(name, ratio):
    """One pruning step; returns what there is to report."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None).eval()
    example = torch.zeros(1, 3, 224, 224)
    before, _ = torch_pruning.utils.count_ops_and_params(model, example)
    head = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
    started = time.perf_counter()
    pruner = torch_pruning.pruner.MagnitudePruner(
        model,
        example,
        importance=torch_pruning.importance.MagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=ratio,
        ignored_layers=[head],
    )
    pruner.step()
    seconds = time.perf_counter() - started
    after, _ = torch_pruning.utils.count_ops_and_params(model, example)
    return {"seconds": seconds, "kept": after / before}


if __name__ == "__main__":
    main()
