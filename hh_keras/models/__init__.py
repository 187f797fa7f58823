"""Networks to start from: the registry, keras.applications, import paths, files.

`build` turns what a user writes after `--model` into a Keras model that takes raw
pixels (float32, 0 to 255) and, unless it is the user's own, returns logits.
"""

from hh_keras.models.applications import list_applications
from hh_keras.models.files import is_keras_file
from hh_keras.models.registry import build, list_models, names_file

__all__ = [
    "build",
    "is_keras_file",
    "list_applications",
    "list_models",
    "names_file",
]
