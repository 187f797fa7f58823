"""The public names and where they live; `__init__.py` reads this file."""

from .applications import list_applications as list_applications
from .files import is_keras_file as is_keras_file
from .registry import build as build
from .registry import list_models as list_models
from .registry import names_file as names_file
