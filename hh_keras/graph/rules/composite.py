"""Layers made of layers, of keras-cv."""

from typing import Any

from hh_keras.graph.rules.registry import Effect, RuleCall, register_rule


@register_rule("keras_cv.SqueezeAndExcite2D")
def squeeze_and_excite(layer: Any, call: RuleCall) -> Effect:
    """The bottleneck stays as it is; the channels on both its sides are one set.

    Its weights are those of the squeezing convolution and, with a prime, of the
    exciting one. A scale before it reaches its output too, so none can be folded.
    """
    ids = call.along(call.x, -1)
    return call.passes(
        weights={
            "kernel": (None, None, ids, None),
            "kernel'": (None, None, None, ids),
            "bias'": (ids,),
        },
        config={"filters": ids},
        contracts=((0, call.x.rank - 1, ids),),
        uses={"kernel": 1, "kernel'": 1},
        inputs=ids,
    )
