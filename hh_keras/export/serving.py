"""Writing a SavedModel, as TF Serving takes it."""

from pathlib import Path

from hh_keras import files
from hh_keras.errors import ModelError, WorkdirError
from hh_keras.export.checks import check_built, failed
from hh_keras.export.quiet import quiet


def saved_model(model, path):
    """Writes a TensorFlow SavedModel, all of it or nothing.

    It is written beside `path` and renamed when complete, so that a server watching
    the directory never sees half a model and a failure leaves the old one in place.

    Args:
        model: a built Keras model.
        path: directory to write; an older SavedModel there is replaced.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        ModelError: the model is not built or cannot be exported.
        WorkdirError: `path` is something other than a SavedModel, or not writable.
    """
    path = Path(path)
    check_built(model)
    if path.exists() and not _replaceable(path):
        raise WorkdirError(
            f"{path} exists and is not a SavedModel; it is left alone. "
            "Choose another path, or remove it."
        )

    def export(new):
        try:
            with quiet():
                model.export(str(new), format="tf_saved_model", verbose=False)
        except Exception as error:  # tracing runs every layer's code
            raise ModelError(failed(model, path, error)) from error

    files.replace(path, export)
    return path


def _replaceable(path):
    if not path.is_dir():
        return False
    return (path / "saved_model.pb").is_file() or not any(path.iterdir())
