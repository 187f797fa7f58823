"""The search's limits as the flags say them, in multiply-accumulates and the like."""

import keras
from absl.flags import FlagValues

import hh_keras
from hh_keras import latency
from hh_keras.cli import workdir
from hh_keras.cli.training import distribution
from hh_keras.cli.workdir import Run
from hh_keras.errors import HHError
from hh_keras.latency import LatencyTable
from hh_keras.progress import Waiting
from hh_keras.training.replicas import workers


def budget(
    model: keras.Model, image_shape: tuple, args: FlagValues, run: Run
) -> hh_keras.Budget:
    """The limits of --macs, --params and --latency in absolute terms."""
    unlimited = args.latency.value == float("inf")
    if unlimited and args.latency_table:
        raise HHError(
            "--latency_table is for a limit on latency: give --latency (0.8x, 12ms), "
            "or leave the table out."
        )
    cost = hh_keras.cost(model, image_shape)
    macs, params = args.macs.whole(cost.macs), args.params.whole(cost.params)
    if unlimited:
        if macs is None and params is None:
            raise HHError(
                "--macs, --params and --latency are all none; give at least one limit."
            )
        return hh_keras.Budget(macs=macs, params=params)
    table = _latency_table(model, args, run)
    original = latency.predict_latency(model, table, image_shape)
    limit = args.latency.amount(original)
    return hh_keras.Budget(macs, params, limit, table)


def _latency_table(model: keras.Model, args: FlagValues, run: Run) -> LatencyTable:
    """Reads --latency_table, or measures one and keeps it in --workdir."""
    if args.latency_table:
        return _given(args)
    if workers(distribution(args)) > 1:
        raise HHError(
            "--latency needs a --latency_table when several workers search: make one "
            "with launch/latency.py."
        )
    path = run.path / "latency.json"
    known = _known(path, args)
    told: list[Waiting] = []

    def progress(text):
        if not told:
            print("  measuring how long layers take ...", flush=True)
            told.append(Waiting())
        if told[0].due():
            print(f"  {text}", flush=True)

    table = latency.measure(
        [model],
        args.latency_quantize,
        args.latency_threads,
        width=args.width_mult,
        table=known,
        progress=progress,
    )
    workdir.claim(run)
    table.save(path)
    return table


def _known(path, args):
    """The table of --workdir to add to, None if there is none of this device."""
    if not path.exists():
        return None
    table = LatencyTable.load(path)
    wanted = args.latency_quantize, args.latency_threads, latency.device()
    return table if (table.quantize, table.threads, table.device) == wanted else None


def _given(args):
    """--latency_table, which says what kind of file is timed, and with what threads."""
    table = LatencyTable.load(args.latency_table)
    settings = {"latency_quantize": table.quantize, "latency_threads": table.threads}
    for name, own in settings.items():
        if args[name].present and args[name].value != own:
            raise HHError(
                f"--{name}={args[name].value}: {args.latency_table} was measured with "
                f"{own}; leave the flag out, or measure a table with launch/latency.py."
            )
    return table
