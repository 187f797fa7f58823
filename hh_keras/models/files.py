"""Model files: what is in one, and how it becomes a Keras 3 model."""

import contextlib
import json
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path

import h5py
import keras

from hh_keras.errors import ModelError
from hh_keras.models import legacy, safety
from hh_keras.models.reasons import keras_reason

SUFFIXES = (".keras", ".h5", ".hdf5")
_LARGEST_JSON = 2**28  # bytes
_OTHERS = {
    ".tflite": "a .tflite file can be run, evaluated and timed, but not changed",
    ".onnx": "an .onnx file can be run, evaluated and timed, but not changed",
    ".pt": "a PyTorch file has no Keras layers",
    ".pth": "a PyTorch file has no Keras layers",
    ".pb": "a TensorFlow graph has no Keras layers",
    ".ckpt": "a checkpoint holds weights only",
    ".npz": "an .npz file holds arrays only",
    ".json": "a .json file holds no weights",
}


def is_keras_file(path: str | Path) -> bool:
    """Whether it is a file of Keras by its name, or by what is inside.

    SavedModel folders and `.tflite` files are not; nor is a folder.

    Examples:
        >>> model.save("model.keras")
        >>> hh_keras.models.is_keras_file("model.keras")
        True
        >>> hh_keras.models.is_keras_file("model.tflite")
        False
    """
    if str(path).lower().endswith(SUFFIXES):
        return True
    path = Path(path)
    return path.is_file() and (h5py.is_hdf5(path) or _is_archive(path))


def _is_archive(path):
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "config.json" in archive.namelist()


def from_file(path: str | Path) -> keras.Model:
    """Loads a model from a file of any version of Keras.

    Whole models: `.keras` files of Keras 3 and of tf_keras, `.h5` files of Keras 3, of
    tf_keras and of Keras 2; what is inside counts, not the name. Nothing in a file is
    ever executed.

    Args:
        path: the file.

    Returns:
        The model, uncompiled.

    Raises:
        ModelError: no such file, a corrupt one, one without a model, or one with
            code or unknown classes inside; the message names the file.
    """
    path = Path(path)
    if path.is_dir() and not (path / "config.json").is_file():
        raise ModelError(_folder(path))
    if not path.exists():
        raise ModelError(f"There is no model file {path}.")
    try:
        if path.is_dir():
            return _from_folder(path)
        if h5py.is_hdf5(path):
            return _from_h5(path)
        if zipfile.is_zipfile(path):
            return _from_archive(path)
    except ModelError:
        raise
    except Exception as error:  # zip, JSON, HDF5 and Keras each raise their own
        reason = keras_reason(error)
        unknown = "Could not locate" in reason or "Unknown" in reason
        advice = (
            "If it has classes of your own, register them with "
            "keras.saving.register_keras_serializable and import their module first: "
            "--import=my_module in a command."
            if unknown
            else "It may be damaged, or cut short."
        )
        raise ModelError(
            f"{path} cannot be loaded as a Keras model: {reason}. {advice}"
        ) from error
    raise ModelError(_no_model(path))


def _from_archive(path):
    """A `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        if "config.json" not in archive.namelist():
            raise ModelError(_no_model(path))
        safety.check_archive(archive, path)
        config = _json(archive, "config.json", path)
        written = "3"
        if "metadata.json" in archive.namelist():
            written = _json(archive, "metadata.json", path).get("keras_version", "3")
    safety.check_config({**config, "compile_config": None}, path)
    with _named(path, ".keras") as named:
        if not _is_old(written):
            return keras.saving.load_model(named, compile=False, safe_mode=True)
        model = _translated(config, path)
        with _explained(path):
            legacy.check_order(model, config)
        model.load_weights(named)
        legacy.set_trainable(model, config)
    return model


def _from_folder(path):
    """What Keras 3 writes when it does not zip."""
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    safety.check_config({**config, "compile_config": None}, path)
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _from_h5(path):
    """A `.h5` file, whatever it is called."""
    with h5py.File(path) as file:
        config = file.attrs.get("model_config")
        if config is None:
            raise ModelError(_weights_only(file, path))
        safety.check_links(file, path)
        config = json.loads(config, object_hook=_plain)
        safety.check_config(config, path)
        written = file.attrs.get("keras_version", "2")
        written = written.decode() if isinstance(written, bytes) else str(written)
        if _is_old(written):
            model = _translated(config, path)
            with _explained(path):
                legacy.load_h5_weights(model, config, file["model_weights"])
            return model
    with _explained(path):
        model = legacy.model_with_modules(config)
    with _named(path, ".h5") as named:
        model.load_weights(named)
    return model


def _plain(described):
    """What Keras writes into `.h5` files in objects of their own."""
    if described.get("class_name") in ("TensorShape", "__tuple__"):
        return described.get("items", described)
    return described


def _is_old(written):
    """Whether a version of Keras is before Keras 3."""
    return str(written).partition(".")[0] in ("0", "1", "2")


def _translated(config, path):
    warnings.warn(
        f"{path} was written by Keras 2 or tf_keras; it is read layer by layer, and "
        "what is saved from it is a file of Keras 3.",
        stacklevel=2,
    )
    with _explained(path):
        return legacy.model_from_description(config)


@contextlib.contextmanager
def _explained(path):
    """Names the file in what the translation says."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error


def _json(archive, name, path):
    if archive.getinfo(name).file_size > _LARGEST_JSON:
        raise ModelError(f"{path} is not opened: {name} in it is too large.")
    return json.loads(archive.read(name))


@contextlib.contextmanager
def _named(path, suffix):
    """The file under a name that ends as Keras wants it."""
    if path.suffix == suffix and not path.name.endswith(".weights.h5"):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder, f"model{suffix}")
        try:
            named.symlink_to(path.resolve())
        except OSError:  # Windows, without the right to
            shutil.copyfile(path, named)
        yield named


def _folder(path):
    """What to do with a folder that is no model."""
    if not any((path / f"saved_model{end}").is_file() for end in (".pb", ".pbtxt")):
        return (
            f"{path} is a folder without a model; give a file of Keras, "
            f"{' or '.join(SUFFIXES[:2])}."
        )
    if (path / "keras_metadata.pb").is_file():
        return (
            f"{path} is a SavedModel folder of Keras 2, which cannot be opened safely; "
            "with what wrote it, save it as a file: "
            f"tf_keras.models.load_model({str(path)!r}).save('model.h5')."
        )
    return (
        f"{path} is a SavedModel folder: it can be evaluated and timed, but it has no "
        "Keras layers to change; give the .keras or .h5 file that it was made from."
    )


def _weights_only(file, path):
    """What to do with a HDF5 file that describes no model."""
    inside = {"layers", "_layer_checkpoint_dependencies", "vars"} & set(file)
    if "layer_names" in file.attrs or "model_weights" in file or inside:
        return (
            f"{path} holds weights only, no network; name the network that they are "
            f"of with --model and give the file as --pretrained={path}."
        )
    return f"{path} is a HDF5 file without a Keras model."


def _no_model(path):
    reason = _OTHERS.get(path.suffix.lower(), "it is damaged, or of another program")
    return (
        f"{path} cannot be loaded as a Keras model: {reason}. Give a .keras file, or a "
        ".h5 file with the whole model."
    )
