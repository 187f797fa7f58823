"""The table of a ViT and a ConvNeXt: losses, the peer's best, what was aimed at."""

import trained_targets

ROWS = [
    {"network": "vit_0_cifar10", "method": method, "share": share, "top1": top1}
    for method, share, top1 in (
        ("original", 1.0, 0.70),
        ("hh_keras", 0.7, 0.66),
        ("hh_keras, 10 minutes", 0.7, 0.69),
        ("hh_keras, heads alone", 0.7, 0.60),
        ("Torch-Pruning L2", 0.7, 0.20),
        ("Torch-Pruning Taylor, heads", 0.7, 0.46),
        ("Torch-Pruning Taylor, hidden alone", 0.7, 0.50),
        ("Torch-Pruning Taylor, heads, 10 minutes", 0.7, 0.65),
    )
]
ROWS.append({**ROWS[1], "network": "resnet20_cifar10", "top1": 0.1})
TIMES = [
    {"network": "vit_0_cifar10", "share": 1.0, "macs": 1.0, "ratio": 1.0},
    {"network": "vit_0_cifar10", "share": 0.7, "macs": 0.7, "ratio": 0.82},
    {"network": "vit_0_cifar10", "share": 0.5, "macs": 0.5, "ratio": 0.9},
    {"network": "resnet20_cifar10", "share": 0.5, "macs": 0.5, "ratio": 1.0},
]


def test_losses_are_in_points_and_the_peers_those_of_its_best_way():
    table = trained_targets.losses("vit", ROWS)
    assert table[0].startswith("| ViT, 70.0 % | 0.9x | 0.8x | 0.7x")
    cells = {line.split(" | ")[0]: line.split(" | ")[3] for line in table[2:-1]}
    assert cells == {
        "| hh_keras": "4.0",
        "| hh_keras, heads alone": "10.0",
        "| Torch-Pruning": "20.0",
        "| Torch-Pruning, hidden alone": "20.0",
        "| hh_keras, 10 minutes": "1.0",
        "| Torch-Pruning, 10 minutes": "5.0",
    }
    assert trained_targets.losses("convnext", ROWS) == []


def test_targets_name_where_least_was_reached():
    first, trained, recovered, latency = trained_targets.targets(ROWS, TIMES)[2:-1]
    assert "+16.0 points where it is least (ViT, seed 0, 0.7x)" in first
    assert "+4.0 points" in trained
    assert recovered.endswith("| ViT 1.0 |")
    assert "0.20 of it where it is least (vit_0_cifar10, 0.5x)" in latency


def test_what_was_not_measured_is_said_so():
    lines = trained_targets.targets(ROWS[:1], [])[2:-1]
    assert all(line.endswith("| not measured |") for line in lines)
