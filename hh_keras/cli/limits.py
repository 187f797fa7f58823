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
    cost = hh_keras.cost(model, image_shape)
    macs, params = args.macs.whole(cost.macs), args.params.whole(cost.params)
    if args.latency.value == float("inf"):
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
        return LatencyTable.load(args.latency_table)
    if workers(distribution(args)) > 1:
        raise HHError(
            "--latency needs a --latency_table when several workers search: make one "
            "with launch/latency.py."
        )
    path, settings = (
        run.path / "latency.json",
        (
            args.latency_quantize,
            args.latency_threads,
        ),
    )
    if path.exists():
        table = LatencyTable.load(path)
        known = (table.quantize, table.threads) == settings
        if known and table.device == latency.device() and _has(table, model):
            return table
    print("  measuring how long layers take ...", flush=True)
    waiting = Waiting()
    table = latency.measure(
        [model],
        *settings,
        width=args.width_mult,
        progress=lambda text: waiting.due() and print(f"  {text}", flush=True),
    )
    workdir.claim(run)
    table.save(path)
    return table


def _has(table, model):
    return latency.architecture(latency.units(model)) in table.networks
