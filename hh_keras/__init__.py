"""Layer-wise differentiated networks for Keras 3: widen, score, shrink, rebuild.

The public names are those of `__init__.pyi`. Each is loaded when it is first used, so
that the command line answers before TensorFlow is there.
"""

import importlib
import sys

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Where Keras is there already, files that hold layers of this package can be read.
if "keras" in sys.modules:
    for _name in (
        "surgery.scales",
        "graph.opening.extra_layers",
        "graph.opening.tensorflow_functions",
    ):
        importlib.import_module(f"{__name__}.{_name}")
