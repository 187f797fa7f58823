"""Measures the latency of .tflite files, SavedModels and .keras files on this machine.

    python launch/benchmark.py --model=runs/run/original.tflite \\
        --model=runs/run/lw_dna.tflite --workdir=runs/benchmark
    python launch/benchmark.py --model=a_int8.tflite --model=b_int8.tflite \\
        --threads=2 --rounds=300 --seconds=20
    python launch/benchmark.py --model=runs/run/saved_model/lw_dna/1 --batch=8

The files run in turns, so that whatever slows the machine down slows all of them:
"ratio" is the median over the rounds of a file's time over that of the first, "middle
half" the middle half of the rounds. The clock starts when the input is in the runtime's
memory and stops when the output is. Files may take inputs of different shapes; a batch
that is part of a file is kept to, and times are of the whole batch.

Leaves in --workdir: benchmark.json, benchmark.png, run.json (all settings).
"""

import time

from absl.flags import FlagValues

from hh_keras.cli import flags, program

GROUPS = {
    "Files": flags.TIMED_FILES,
    "Measurement": flags.TIMING,
    "Other": flags.workdir_flags("runs/benchmark"),
}


def main(args: FlagValues) -> None:
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras import files
    from hh_keras.cli import timing, workdir
    from hh_keras.report import png
    from hh_keras.report.latencies import plot_latencies

    timing.check(args.model, args.threads)
    run = workdir.open_run(
        args.workdir, workdir.configuration("benchmark", args), args.overwrite
    )
    started = time.perf_counter()
    found = timing.measure(args)
    workdir.claim(run)
    files.write(run.path / "benchmark.json", workdir.to_json(found))
    files.write(run.path / "benchmark.png", png(plot_latencies(found)))
    workdir.finish(run, "benchmark", started)
    print(timing.text(found))
    print(f"Written: {run.path / 'benchmark.json'}, {run.path / 'benchmark.png'}")


entry = program.make(__doc__, GROUPS, main)
