"""Flags: on which devices, and how steps are executed."""

from hh_keras.flag import COUNT, Choice, Flag

STRATEGIES = ("auto", "default", "mirrored", "multiworker", "tpu")

DEVICES = (
    Flag(
        "strategy",
        Choice(STRATEGIES),
        "auto",
        "Which devices train together: default (one), mirrored (all GPUs, or "
        "--devices logical CPUs), multiworker (the machines in TF_CONFIG), tpu; auto "
        "is mirrored with GPUs, otherwise default.",
    ),
    Flag("devices", COUNT, None, "How many devices mirrored takes."),
    Flag(
        "steps_per_execution",
        COUNT,
        1,
        "Steps that TensorFlow takes at a time, on one device or TPUs; more is faster "
        "for small networks.",
    ),
    Flag(
        "jit_compile",
        Choice(("auto", "yes", "no")),
        "auto",
        "Whether XLA compiles the step; auto: on GPUs if Keras sees fit.",
    ),
)
