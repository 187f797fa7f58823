"""Opening: networks written as classes become graphs of ordinary layers."""

from hh_keras.graph.opening.inline import Opening, inline, opening

__all__ = ["Opening", "inline", "opening"]
