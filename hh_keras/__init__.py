"""Layer-wise differentiated networks for Keras 3: widen, score, shrink, rebuild."""

from hh_keras.errors import (
    BudgetError,
    DataError,
    HHError,
    ModelError,
    PlanError,
    SearchError,
    WorkdirError,
)
from hh_keras.graph.channels import ChannelMap, Group, trace
from hh_keras.graph.cost import Cost, cost
from hh_keras.graph.rules import Effect, register_rule
from hh_keras.search.regularizers import (
    ChannelSparsity,
    attach_proximal,
    channel_costs,
)
from hh_keras.search.scores import CRITERIA, score_channels
from hh_keras.search.selection import Budget, select_channels
from hh_keras.search.shrink import ShrinkResult, shrink
from hh_keras.surgery.plan import Plan
from hh_keras.surgery.rebuild import rebuild, widen
from hh_keras.surgery.scales import ChannelScale, add_scales, fold_scales, mask
from hh_keras.version import __version__

__all__ = [
    "CRITERIA",
    "Budget",
    "BudgetError",
    "ChannelMap",
    "ChannelScale",
    "ChannelSparsity",
    "Cost",
    "DataError",
    "Effect",
    "Group",
    "HHError",
    "ModelError",
    "Plan",
    "PlanError",
    "SearchError",
    "ShrinkResult",
    "WorkdirError",
    "__version__",
    "add_scales",
    "attach_proximal",
    "channel_costs",
    "cost",
    "fold_scales",
    "mask",
    "rebuild",
    "register_rule",
    "score_channels",
    "select_channels",
    "shrink",
    "trace",
    "widen",
]
