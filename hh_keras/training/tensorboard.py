"""TensorBoard: curves, scales and channel counts while a network is trained."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from hh_keras.errors import HHError


class TensorBoard(keras.callbacks.Callback):
    """Writes what `tensorboard --logdir FOLDER` shows, after every epoch.

    Scalars are all of the epoch's numbers and the learning rate.

    Args:
        folder: for the event files.
        histograms: function that returns name → array, drawn as histograms.
        pictures: function that returns name → bytes of a PNG file.

    Raises:
        HHError: TensorBoard is not installed.
    """

    def __init__(
        self,
        folder: str | Path,
        histograms: Callable | None = None,
        pictures: Callable | None = None,
    ) -> None:
        super().__init__()
        if importlib.util.find_spec("tensorboard") is None:
            raise HHError(
                "TensorBoard is not installed: pip install 'hh_keras[tensorboard]', or "
                "do without its files."
            )
        self.folder = Path(folder)
        self.histograms, self.pictures = histograms, pictures

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.writer = tf.summary.create_file_writer(str(self.folder))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        rate = float(self.model.optimizer.learning_rate)
        with self.writer.as_default(step=epoch + 1):
            for name, value in {**(logs or {}), "learning_rate": rate}.items():
                tf.summary.scalar(name.replace("val_", "validation/"), value)
            for name, values in (self.histograms or dict)().items():
                tf.summary.histogram(name, values)
            for name, png in (self.pictures or dict)().items():
                tf.summary.image(name, tf.image.decode_png(png, channels=4)[None])
        self.writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        self.writer.close()
