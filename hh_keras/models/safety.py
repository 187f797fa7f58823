"""What a model file must not hold: code, and ways out of the file.

Keras refuses most of it by itself, version by version; here it is refused by what is
allowed, not by what is known to be harmful, before Keras reads any of it.
"""

import builtins
import stat
from collections.abc import Collection
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import h5py
import keras

import hh_keras
from hh_keras.errors import ModelError

_FUNCTIONS = (
    "builtins",
    "keras.activations",
    "keras.constraints",
    "keras.initializers",
    "keras.losses",
    "keras.metrics",
    "keras.ops",
    "keras.random",
    "keras.regularizers",
)
# Of modules that also open and fetch files.
_HARMLESS = {
    "normalize": "keras.utils",
    "preprocess_input": "keras.applications",
    "to_categorical": "keras.utils",
}
_OF_KERAS = ("keras", "tf_keras", "builtins")
_CODE = ("TFSMLayer", "TorchModuleWrapper", "FlaxLayer", "JaxLayer")
_REMEDY = (
    "register it with keras.saving.register_keras_serializable and import its module "
    "first (in a command: --import=my_module)"
)


def check_config(config: Any, path: str | Path) -> None:
    """Raises ModelError if the description of a model asks for code of its writer's.

    Args:
        config: the description, as read from JSON.
        path: of the file, for the message.
    """
    waiting = [(config, "the model")]
    while waiting:
        value, place = waiting.pop()
        if isinstance(value, dict):
            place = _check_object(value, place, path)
            waiting += [(each, place) for each in value.values()]
        elif isinstance(value, (list, tuple)):
            waiting += [(each, place) for each in value]


def _check_object(described, place, path):
    """Checks one object; returns how messages call what is inside."""
    kind, config = described.get("class_name"), described.get("config")
    if not isinstance(kind, str):
        return place
    if isinstance(config, dict) and isinstance(config.get("name"), str):
        place = f"{kind} {config['name']!r}"
    old_code = isinstance(config, dict) and isinstance(config.get("function"), list)
    if kind in _CODE or kind == "__lambda__" or (kind == "Lambda" and old_code):
        what = "a Python lambda" if kind in ("__lambda__", "Lambda") else f"a {kind}"
        raise ModelError(
            f"{path} is not opened: {place} holds {what}, whose code opening it would "
            "run. Rebuild the model with a registered keras.layers.Layer instead."
        )
    if kind == "function":
        _check_function(described, place, path)
    else:
        _check_class(described, place, path)
    return place


def _check_class(described, place, path):
    """Classes are of Keras or registered; others would have to be imported."""
    module, registered = described.get("module"), described.get("registered_name")
    if not isinstance(module, str) or module.split(".")[0] in _OF_KERAS:
        return
    if module.split(".")[0] == "hh_keras":
        hh_keras.register_layers()
    if not (isinstance(registered, str) and _is_registered(registered)):
        kind = described["class_name"]
        raise ModelError(
            f"{path} is not opened: {place} is a {kind} of {module}, which is not "
            f"known here. If it is your own, {_REMEDY}."
        )


def _check_function(described, place, path):
    module, name = described.get("module"), described.get("config")
    registered = described.get("registered_name")
    if any(isinstance(n, str) and _is_registered(n) for n in (name, registered)):
        return
    allowed = [*_FUNCTIONS, *filter(None, [_HARMLESS.get(str(name))])]
    # "builtins" is what Keras writes for functions of nobody's; Python's are not meant.
    if module == "builtins" and hasattr(builtins, str(name)):
        allowed = []
    if not any(f"{module}.".startswith(f"{each}.") for each in allowed):
        raise ModelError(
            f"{path} is not opened: {place} calls {name!r} of {module}, which is no "
            f"function of layers. If it is your own, {_REMEDY}."
        )


def _is_registered(name):
    return keras.saving.get_registered_object(name) is not None


def check_archive(archive: Any, path: str | Path) -> None:
    """Raises ModelError if a zip file would write outside of where it is unpacked.

    Args:
        archive: a `zipfile.ZipFile`.
        path: of the file, for the message.
    """
    for member in archive.infolist():
        parts = [kind(member.filename) for kind in (PurePosixPath, PureWindowsPath)]
        outside = any(p.is_absolute() or p.drive or ".." in p.parts for p in parts)
        if outside or stat.S_ISLNK(member.external_attr >> 16):
            raise ModelError(
                f"{path} is not opened: {member.filename!r} in it leads out of the "
                "folder that it would be unpacked to."
            )


def check_links(group: Any, path: str | Path, seen: Collection = ()) -> None:
    """Raises ModelError if a HDF5 file points out of itself.

    Args:
        group: a `h5py.File` or one of its groups.
        path: of the file, for the message.
        seen: places in the file that contain the group.
    """
    seen = {*seen, h5py.h5o.get_info(group.id).addr}
    for name in group:
        member = None
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            member = group[name]
        stored = isinstance(member, h5py.Dataset)
        if member is None or (stored and (member.external or member.is_virtual)):
            raise ModelError(
                f"{path} is not opened: {name!r} in it stands for data elsewhere."
            )
        if isinstance(member, h5py.Group):
            if h5py.h5o.get_info(member.id).addr in seen:
                raise ModelError(f"{path} is not opened: {name!r} contains itself.")
            check_links(member, path, seen)
