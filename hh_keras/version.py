"""The release number, readable without importing TensorFlow."""

__version__ = "0.1.0"
"""The release number.

Examples:
    >>> len(hh_keras.__version__.split(".")) >= 3
    True
"""
