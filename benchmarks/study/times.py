"""How long the networks of a study take as `.tflite` files, beside their originals."""

import dataclasses

import keras

from hh_keras.latency.comparing import compare
from study import data, networks, variants

_ROUNDS = 300  # of a network of a fraction of a millisecond


def execute(run, folders):
    """Times the network of a run; weights do not matter, so nothing is trained.

    Args:
        run: a `Run`.
        folders: see `data.load`.

    Returns:
        A dict that JSON can hold: key, run, and time over the original's, float32 and
        int8.
    """
    keras.backend.clear_session()
    images, shape, classes = data.load(run.data, folders, run.protocol, run.seed)
    original = networks.build(run.network, shape, classes)
    found = variants.find(run, original, lambda seed: images)
    pair = original, found.model
    return {
        "key": run.key,
        "run": dataclasses.asdict(run),
        **{
            kind: round(float(compare(pair, kind, rounds=_ROUNDS)[1][1]), 4)
            for kind in ("float32", "int8")
        },
    }
