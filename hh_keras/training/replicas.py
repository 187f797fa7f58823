"""Which devices and machines share the work."""

import functools

import keras
import numpy as np
import tensorflow as tf

from hh_keras.errors import HHError

STRATEGIES = ("auto", "default", "mirrored", "multiworker", "tpu")


def strategy(name: str = "auto", devices: int | None = None) -> tf.distribute.Strategy:
    """Returns the `tf.distribute.Strategy` to build and train a model under.

    Ask for it before anything else makes TensorFlow start its devices.

    Args:
        name: one of `STRATEGIES`:
            "default": one device.
            "mirrored": replicas on all GPUs of this machine; without GPUs, on
            `devices` logical CPU devices, for development.
            "multiworker": replicas on all machines that the environment variable
            TF_CONFIG lists, a process each; every one makes the same calls.
            "tpu": all cores of the TPU that TensorFlow finds.
            "auto": "mirrored" if there are GPUs, else "default".
        devices: how many replicas "mirrored" shall have; None is all GPUs, or one
            CPU.

    Returns:
        A strategy, for `train` or `with strategy.scope():`. Batch sizes are global:
        replicas share each batch.

    Raises:
        HHError: no such strategy, too few devices, or a cluster that cannot be had.

    Examples:
        >>> with hh_keras.training.strategy().scope():
        ...     net = hh_keras.models.build("resnet20", (32, 32, 3), 10)
    """
    if name not in STRATEGIES:
        raise HHError(f"strategy {name!r}: choose one of {', '.join(STRATEGIES)}.")
    if devices is not None and name not in ("auto", "mirrored"):
        raise HHError(f"strategy {name!r} finds its devices itself; leave devices out.")
    if name == "multiworker":
        return _multiworker()
    if name == "tpu":
        return _tpu()
    gpus = tf.config.list_physical_devices("GPU")
    if name == "mirrored" or gpus or (devices or 1) > 1:
        if name != "default":
            return _mirrored(_devices(gpus, devices))
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored(names):
    """One per process: TensorFlow confuses the sums of two over the same devices."""
    return tf.distribute.MirroredStrategy(names)


def _devices(gpus, count):
    """Names of the devices to mirror on; None leaves the choice to TensorFlow."""
    if count is None:
        return None
    if gpus:
        if count > len(gpus):
            raise HHError(
                f"devices={count}, but this machine has {len(gpus)} GPUs; ask for no "
                "more than those."
            )
        return tuple(f"GPU:{k}" for k in range(count))
    try:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * count,
        )
    except (RuntimeError, ValueError):
        pass  # TensorFlow has started; it may have enough of them already
    found = len(tf.config.list_logical_devices("CPU"))
    if found < count:
        raise HHError(
            f"devices={count}, but TensorFlow has started with {found} logical CPU "
            "device(s); ask for the strategy before anything else."
        )
    return tuple(f"CPU:{k}" for k in range(count))


@functools.cache
def _multiworker():
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    try:
        cluster = resolver.cluster_spec().as_dict()
    except ValueError as error:
        raise HHError(f"strategy 'multiworker': TF_CONFIG is no JSON ({error}).") from (
            error
        )
    if not cluster.get("worker"):
        raise HHError(
            "strategy 'multiworker': the environment variable TF_CONFIG names no "
            'workers. Set it in each process: {"cluster": {"worker": ["host1:12345", '
            '"host2:12345"]}, "task": {"type": "worker", "index": 0}}.'
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise HHError(f"strategy 'multiworker': {_first_line(error)}") from error


@functools.cache
def _tpu():
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (RuntimeError, ValueError, OSError, tf.errors.OpError) as error:
        raise HHError(
            f"strategy 'tpu': no TPU can be reached ({_first_line(error)}). Run on a "
            "TPU machine with TensorFlow for TPUs, or choose another strategy."
        ) from error


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files: the only one, or the first worker."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    if "chief" in resolver.cluster_spec().as_dict():
        return resolver.task_type == "chief"
    return resolver.task_type == "worker" and resolver.task_id == 0


def workers(strategy: tf.distribute.Strategy) -> int:
    """How many processes train together."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 1
    return max(1, len(resolver.cluster_spec().as_dict().get("worker", ()))) + (
        "chief" in resolver.cluster_spec().as_dict()
    )


def chiefs(
    array: np.ndarray, strategy: tf.distribute.Strategy | None = None
) -> np.ndarray:
    """The chief's value of an array, in every worker: no decision may differ.

    Workers on different processors may round differently; what is decided by
    comparing numbers (which channels stay) is therefore decided on the chief's.

    Args:
        array: float array, of the same shape in all workers.
        strategy: the strategy they share; None is the current one.
    """
    strategy = strategy or tf.distribute.get_strategy()
    if workers(strategy) == 1:
        return array
    mine = tf.constant(array if is_chief(strategy) else array * 0)

    def total():
        context = tf.distribute.get_replica_context()
        first = tf.cast(context.replica_id_in_sync_group == 0, mine.dtype)
        return context.all_reduce(tf.distribute.ReduceOp.SUM, mine * first)

    sums = tf.function(lambda: strategy.run(total))()
    return strategy.experimental_local_results(sums)[0].numpy()


def agree(model: keras.Model) -> keras.Model:
    """Gives every worker's copy of a model the chief's weights; see `chiefs`."""
    if workers(tf.distribute.get_strategy()) > 1:
        for variable in model.variables:
            variable.assign(chiefs(np.asarray(variable)))
    return model
