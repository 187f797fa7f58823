"""Layer-wise differentiated networks for Keras 3: widen, score, shrink, rebuild.

The public names are those of `__init__.pyi`. Each is loaded when it is first used, so
that the command line answers before TensorFlow is there.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
