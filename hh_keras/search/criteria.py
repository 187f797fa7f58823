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
"""What can rank channels; `hh_keras.score_channels` says what each is.

Examples:
    >>> hh_keras.CRITERIA[:3]
    ('gradient', 'taylor', 'fisher')
"""
