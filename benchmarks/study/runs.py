"""A run: one network trained once. Plain values, JSON in and out."""

import dataclasses
import hashlib
import json


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How every network of a pair is trained, by the same number of steps."""

    steps: int = 1200
    batch_size: int = 64
    learning_rate: float = 0.1
    warmup: float = 0.05
    weight_decay: float = 5e-4
    augment: str = "flip"


@dataclasses.dataclass(frozen=True)
class Search:
    """How a layer-wise differentiated network is found.

    Attributes:
        criterion, batches: see `hh_keras.score_channels`.
        per_cost, min_keep: see `hh_keras.select_channels`.
        width: how much the original is widened first.
        warmup: training steps of the wide network before it is scored.
        blend: 1 takes the found counts; values below go only so far from the uniform
            counts towards them, on a logarithmic scale.
    """

    criterion: str = "gradient"
    batches: int = 8
    per_cost: float = 0.0
    width: float = 2.0
    min_keep: float = 0.1
    warmup: int = 0
    blend: float = 1.0

    def __str__(self):
        default = Search()
        parts = [self.criterion]
        for field in dataclasses.fields(self)[1:]:
            value = getattr(self, field.name)
            if value != getattr(default, field.name):
                parts.append(f"{field.name}={value:g}")
        return " ".join(parts)


@dataclasses.dataclass(frozen=True)
class Law:
    """A profile n ∝ n0 s^-alpha r^beta exp(gamma d), for each group of channels.

    n0 are the original's counts, s the share of the cost (`cost_shares`), r the share
    of the largest map's positions that the group's has, d the depth from 0 to 1; alpha
    of 0.5 alone is `balanced`. Noise is the standard deviation of a factor's logarithm.
    """

    alpha: float
    beta: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0

    def __str__(self):
        return " ".join(f"{k}={v:g}" for k, v in dataclasses.asdict(self).items() if v)


KINDS = ("original", "uniform", "random", "lwdna", "shuffled", "law")


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        network: a name of `networks.NETWORKS`.
        data: `NAME:IMAGES@SIZE`, such as `cifar10:5000@16`.
        kind: one of `KINDS`. "shuffled" gives the counts that the search found to
            other layers, in proportion, at the same cost.
        budget: most MACs and parameters, as shares of the original's.
        seed: of weights and of the order of the images.
        plan_seed: of the search, or of the random counts.
        search: of "lwdna" and "shuffled"; None for others.
        protocol: a `Protocol`.
        round_to: see `hh_keras.select_channels`.
        law: of "law"; None for others.
    """

    network: str
    data: str
    kind: str
    seed: int
    budget: float = 1.0
    plan_seed: int = 0
    search: Search | None = None
    protocol: Protocol = Protocol()
    round_to: int | str = "auto"
    law: Law | None = None

    @property
    def pair(self):
        """The network and the data."""
        return f"{self.network}, {self.data}"

    @property
    def variant(self):
        """What tables call it."""
        found = self.search or self.law
        name = f"{self.kind} {found}" if found else self.kind
        plain = self.round_to == "auto" or self.kind == "original"
        return name if plain else f"{name}, round_to={self.round_to}"

    @property
    def key(self):
        """Sixteen letters that no other run has."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def of(cls, data):
        """Makes a run of what `dataclasses.asdict` gave."""
        search = data["search"] and Search(**data["search"])
        protocol = Protocol(**data["protocol"])
        law = data.get("law") and Law(**data["law"])
        made = {"search": search, "protocol": protocol, "law": law}
        return cls(**{**data, **made})
