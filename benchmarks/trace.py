"""Times `trace` on every network of keras.applications.

python benchmarks/trace.py
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402

import hh_keras as hh  # noqa: E402


def milliseconds(model, runs):
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        channels = hh.trace(model)
        times.append(1e3 * (time.perf_counter() - started))
    return channels, times


def main():
    print("| network | layers | channels | median of 9 | fastest |")
    print("|---|---|---|---|---|")
    for name, build in sorted(vars(keras.applications).items()):
        if not (name[0].isupper() and callable(build)):
            continue
        model = build(weights=None)
        channels, times = milliseconds(model, 9)
        print(
            f"| {name} | {len(model.layers)} | {channels.size:,} | "
            f"{statistics.median(times):.0f} ms | {min(times):.0f} ms |",
            flush=True,
        )
        del model, channels
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
