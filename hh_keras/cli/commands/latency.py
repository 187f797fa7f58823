"""Measures how long a network's layers take on this device: a latency table.

A search keeps to milliseconds by such a table: run this on the device that counts, and
give the file to launch/run.py or launch/shrink.py anywhere.

    python launch/latency.py --model=resnet20 --image_size=32 --output=table.json
    python launch/latency.py --model=keras.applications.MobileNetV2 \\
        --latency_quantize=int8 --latency_threads=2 --output=phone_int8.json
    python launch/run.py --latency=0.5x --latency_table=table.json

--width_mult must be that of the search. An existing file of the same device, threads
and quantisation is added to.
"""

import dataclasses
import pathlib

from absl.flags import FlagValues

from hh_keras.cli import flags, program
from hh_keras.flag import Flag, Number, Text

_IMAGE_SIZE = dataclasses.replace(
    flags.named(flags.DATA, "image_size"),
    help="Size of the images, as the search will have it. Default: 224.",
)

GROUPS = {
    "Model": (flags.model_flag("resnet20"), *flags.MODEL_ARGS, _IMAGE_SIZE),
    "Measurement": (
        *flags.LATENCY,
        flags.named(flags.SEARCH, "width_mult"),
        Flag("rounds", Number(int, least=1), 30, "Timed runs of each."),
        Flag("classes", Number(int, least=1), 10, "Classes of the head."),
        Flag("channels", Number(int, 1, 3), 3, "Channels of the images."),
    ),
    "Other": (Flag("output", Text("FILE"), "latency.json", "The table to write."),),
}


def main(args: FlagValues) -> None:
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras import latency
    from hh_keras.cli import network
    from hh_keras.errors import LatencyError

    output = pathlib.Path(args.output)
    table = latency.LatencyTable.load(output) if output.exists() else None
    if table and table.device != latency.device():
        raise LatencyError(
            f"{output} was measured on another device ({table.device}); choose another "
            "--output."
        )
    height, width = args.image_size or (224, 224)
    model = network.build(args, (height, width, args.channels), args.classes)
    table = latency.measure(
        [model],
        args.latency_quantize,
        args.latency_threads,
        args.width_mult,
        args.rounds,
        table,
        lambda text: print(f"  {text}", flush=True),
    )
    table.save(output)
    predicted = latency.predict_latency(model, table)
    for kind, (first, last) in table.steps.items():
        print(f"{kind}: steps of {first} input and {last} output channels")
    print(f"{model.name}: {predicted:.3g} ms. Written: {output}")


entry = program.make(__doc__, GROUPS, main)
