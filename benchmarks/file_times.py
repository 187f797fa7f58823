"""Times of a network's `.tflite` file beside its original's."""

import pathlib
import tempfile

from hh_keras import export


def file_times(model, original, image_shape):
    """Runs both files in turns for five seconds, one image at once, one thread.

    Args:
        model, original: Keras models.
        image_shape: `(height, width, channels)`.

    Returns:
        A dict: ms and ms_original, medians; ratio, the middle half of the rounds.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, f"{name}.tflite") for name in ("own", "small")]
        for path, each in zip(paths, (original, model)):
            fixed = None not in each.inputs[0].shape[1:]
            export.tflite(each, path, None if fixed else image_shape)
        before, after = export.latencies(paths, image_shape, seconds=5.0)
    return {
        "ms": round(after.median_ms, 2),
        "ms_original": round(before.median_ms, 2),
        "ratio": [round(after.ratio_p25, 3), round(after.ratio_p75, 3)],
    }
