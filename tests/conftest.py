"""Two logical devices, so that tests can replicate; quiet TensorFlow."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf  # noqa: E402

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

from tests import marks  # noqa: E402


def pytest_collection_modifyitems(items):
    for mark, names in marks.listed().items():
        for item in items:
            if item.nodeid in names and not item.get_closest_marker("core"):
                item.add_marker(mark)
