"""Packages that flags need, asked for before any work is done."""

import importlib.util

from absl import flags

from hh_keras.flag import given

_CV = (("keras_cv",), "cv")
_OF_FLAGS: dict[str, tuple[tuple, str]] = {
    "tensorboard": (("tensorboard",), "tensorboard"),
    "rand_augment": _CV,
    "mixup": _CV,
    "cutmix": _CV,
}
_OF_FORMATS: dict[str, tuple[tuple, str]] = {
    "onnx": (("tf2onnx", "onnxruntime"), "onnx"),
    "openvino": (("openvino",), "openvino"),
    "qat": (("tensorflow_model_optimization", "tf_keras"), "quantize"),
}


def check(args: flags.FlagValues) -> None:
    """Raises `flags.Error` for a flag whose package is not installed."""
    wanted: list[tuple] = [
        (f"--{name}", *needs) for name, needs in _OF_FLAGS.items() if given(args, name)
    ]
    if "formats" in args and args["formats"].present:
        wanted += [
            (f"--formats={name}", *needs)
            for name, needs in _OF_FORMATS.items()
            if name in args.formats
        ]
    for flag, modules, extra in wanted:
        for module in modules:
            if importlib.util.find_spec(module) is None:
                raise flags.Error(
                    f"{flag} needs {module}, which is not installed: "
                    f"pip install 'hh_keras[{extra}]'"
                )
