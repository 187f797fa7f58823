"""Times the whole surgery against Torch-Pruning doing the same, in turns.

    python benchmarks/surgery.py --torch_python=/path/to/venv/bin/python
    python benchmarks/surgery.py                                 without Torch-Pruning

The surgery: trace, L2 weight norms, selection, rebuilding with inherited weights, of a
built network at 224 pixels. Torch-Pruning: dependency graph, L2 magnitudes, one global
step. It goes first in every round; the share of MACs that it leaves is our budget.
Every surgery has a process of its own, in which another small network (MobileNet of a
quarter of the width, ResNet-18) was operated on before, so that no library loads its
parts while it is timed; building the network is not timed. The peak is that of the
resident memory during the surgery, over what the process held before it, plus the
weights of the network itself, as a multiple of those.

"/ Keras" compares the surgery with Keras making the small network from its own JSON, in
a process of its own: the same layers of the same shapes, and no more. "/ clone_model"
compares it with `keras.models.clone_model` of the original in the same process. That
makes weights of names and shapes that TensorFlow has compiled before, when the original
was made; those of the small network it has not. Both in seconds of the processor, which
other work on the machine hardly changes.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NETWORKS = {
    "resnet50": "ResNet50",
    "densenet121": "DenseNet121",
    "mobilenet_v2": "MobileNetV2",
}


def operate(name, kept, file=None, **arguments):
    """One surgery, whose result goes to `file`; returns what there is to report."""
    import keras

    import hh_keras as hh

    model = getattr(keras.applications, name)(weights=None, **arguments)
    budget = hh.Budget(macs=kept * hh.cost(model).macs)
    weights = sum(v.value.numpy().nbytes for v in model.weights)
    before = _reset_peak()
    started, began = time.perf_counter(), time.process_time()
    channels = hh.trace(model)
    scores = hh.score_channels(model, criterion="weight_norm")
    plan = hh.select_channels(channels, scores, budget)
    small = hh.rebuild(model, plan)
    seconds, cpu = time.perf_counter() - started, time.process_time() - began
    peak = 1 + (_memory("VmHWM") - before) / weights
    began = time.process_time()
    keras.models.clone_model(model)
    clone = time.process_time() - began
    if file:
        pathlib.Path(file).write_text(small.to_json())
    return {
        "seconds": seconds,
        "cpu": cpu,
        "clone": clone,
        "kept": hh.cost(small).macs / hh.cost(model).macs,
        "peak": peak,
    }


def make(file):
    """Keras makes a network from JSON; returns seconds of the processor."""
    import keras

    text = pathlib.Path(file).read_text()
    began = time.process_time()
    keras.models.model_from_json(text)
    return time.process_time() - began


def _memory(field):
    """A field of /proc/self/status in bytes."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(s.split()[1]) for s in lines if s.startswith(field)) * 1024


def _reset_peak():
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def run(python, script, *args):
    """Runs one surgery in a process of its own."""
    path = pathlib.Path(__file__).with_name(script)
    command = [python, str(path), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(torch_python, ratio, rounds):
    """Yields the rows of the table."""
    file = pathlib.Path(tempfile.mkdtemp()) / "small.json"
    for theirs, ours in NETWORKS.items():
        torch, keras, made = [], [], []
        for _ in range(rounds):
            kept = 1 - ratio
            if torch_python:
                torch.append(run(torch_python, "surgery_torch.py", theirs, ratio))
                kept = torch[-1]["kept"]
            keras.append(run(sys.executable, "surgery.py", "--one", ours, kept, file))
            made.append(run(sys.executable, "surgery.py", "--make", file))
        mine = statistics.median(r["seconds"] for r in keras)
        whole = statistics.median(r["cpu"] / m for r, m in zip(keras, made))
        clone = statistics.median(r["cpu"] / r["clone"] for r in keras)
        row = [ours, f"{keras[0]['kept']:.1%}", f"{mine:.2f} s"]
        row += [f"{whole:.2f}", f"{clone:.2f}"]
        if torch:
            other = statistics.median(r["seconds"] for r in torch)
            ratios = sorted(
                a["seconds"] / b["seconds"] for a, b in zip(torch, keras, strict=True)
            )
            row += [
                f"{other:.2f} s",
                f"{statistics.median(ratios):.1f}x",
                f"{ratios[0]:.1f} to {ratios[-1]:.1f}",
            ]
        yield [*row, f"{max(r['peak'] for r in keras):.2f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch_python", help="interpreter that has torch-pruning")
    parser.add_argument("--ratio", type=float, default=0.3, help="channels to remove")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one or args.make:
        operate("MobileNet", 0.5, alpha=0.25)
        if args.make:
            print(json.dumps(make(args.make)))
        else:
            name, kept, file = args.one
            print(json.dumps(operate(name, float(kept), file)))
        return
    head = ["network", "MACs left", "hh_keras", "/ Keras", "/ clone_model"]
    if args.torch_python:
        head += ["Torch-Pruning", "faster", "rounds"]
    head.append("peak / weights")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {args.rounds} rounds\n")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row in compare(args.torch_python, args.ratio, args.rounds):
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
