"""What can rank channels: names, for `score_channels` and for flags."""

CRITERIA = (
    "gradient",
    "taylor",
    "fisher",
    "obs",
    "magnitude",
    "weight_norm",
    "balanced",
    "uniform",
    "random",
)
