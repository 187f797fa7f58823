"""Layer-wise differentiated networks for Keras 3: widen, score, shrink, rebuild.

The public names are those of `__init__.pyi`. Each is loaded when it is first used, so
that the command line answers before TensorFlow is there.
"""

import importlib
import sys
from typing import Any

import lazy_loader
import wrapt

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_REGISTERING = (
    "graph.opening.draws",
    "graph.opening.extra_layers",
    "graph.opening.modes",
    "graph.opening.one_mode",
    "graph.opening.tensorflow_functions",
    "models.legacy.activations",
    "search.regularizers",
    "surgery.channel_scale",
    "surgery.stand_ins",
    "tasks.detection.detections",
    "tasks.tracking.networks.descent",
    "tasks.tracking.networks.filters",
    "tasks.tracking.networks.pixelwise",
    "training.optimizers",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        importlib.import_module("keras")  # first of all, see below
    return _load(name)


@wrapt.when_imported("keras")
def register_layers(_: Any = None) -> None:
    """Tells Keras of the package's layers, so that files that hold them are read.

    It happens as soon as there is Keras, unless that is imported by one of the
    package's own modules, which is not finished then.
    """
    own = [m for name, m in list(sys.modules.items()) if name.startswith("hh_keras.")]
    if not any(getattr(m.__spec__, "_initializing", False) for m in own):
        for name in _REGISTERING:
            importlib.import_module(f"{__name__}.{name}")
