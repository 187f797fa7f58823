"""Times the selection of channels on a ResNet-152 of twice the width.

python benchmarks/selection.py
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402

import hh_keras as hh  # noqa: E402


def main():
    model = keras.applications.ResNet152(weights=None, input_shape=(64, 64, 3))
    cost = hh.cost(model)
    wide = hh.widen(model, 2.0)
    channels = hh.trace(wide)
    budget = hh.Budget(macs=0.95 * cost.macs, params=cost.params)
    print("| scores | channels | median of 5 | used |\n|---|---|---|---|")
    for criterion in ("weight_norm", "random", "uniform"):
        scores = hh.score_channels(wide, criterion=criterion)
        times = []
        for _ in range(5):
            started = time.perf_counter()
            plan = hh.select_channels(channels, scores, budget)
            times.append(time.perf_counter() - started)
        used = max(
            plan.notes["macs"] / budget.macs, plan.notes["params"] / budget.params
        )
        print(
            f"| {criterion} | {channels.size:,} | "
            f"{statistics.median(times):.3f} s | {used:.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
