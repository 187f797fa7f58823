"""What each kind of layer does to the ids of the channels that pass through it.

A *rule* is a function `rule(layer, call) -> Effect`. It sees the call's inputs as
tensors of channel ids and says which ids its outputs hold, which axes of its weights
and which numbers of its config belong to which ids. All the rest (slicing weights,
editing configs, counting cost) follows from that one table.
"""

from hh_keras.graph.rules import (  # noqa: F401  (each file registers its rules)
    attention,
    convolution,
    dense,
    elementwise,
    merging,
    normalization,
    padding,
    products,
    recurrent,
    reductions,
    reshaping,
    spatial,
    wrappers,
)
from hh_keras.graph.rules.registry import (
    Effect,
    RuleCall,
    Take,
    find_rule,
    register_rule,
)

__all__ = ["Effect", "RuleCall", "Take", "find_rule", "register_rule"]
