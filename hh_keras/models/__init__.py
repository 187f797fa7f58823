"""Networks to start from: the registry, keras.applications, import paths, files.

`build` turns what a user writes after `--model` into a Keras model that takes raw
pixels (float32, 0 to 255) and, unless it is the user's own, returns logits.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
