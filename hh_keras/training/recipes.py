"""A recipe: the training protocol as one frozen value.

The heterogeneity hypothesis compares two networks *under the same protocol*;
giving both the same `Recipe` object is how this package keeps that promise.
"""

import dataclasses
import json
import math

from hh_keras.errors import HHError

SCHEDULES = ("cosine", "step", "constant")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained: SGD with momentum, as in the paper.

    The defaults are the paper's ImageNet protocol (batch 256, 150 epochs there)
    scaled to small data; `schedule="step"` is its CIFAR protocol.

    Attributes:
        epochs: passes over the training data, at least 1.
        batch_size: examples per step, over all replicas together.
        learning_rate: the peak, reached at the end of the warm-up.
        momentum: of SGD, in [0, 1).
        nesterov: whether to use Nesterov's momentum.
        weight_decay: added to the gradient as `weight_decay * w` for every
            trainable weight (see `CoupledSGD`).
        label_smoothing: share of the target spread over all classes, in [0, 1).
        schedule: "cosine" (to 0 at the last step), "step" (divided by 10 at half
            and at three quarters of the steps) or "constant".
        warmup_epochs: linear warm-up from 0, may be fractional; it is part of
            `epochs`.
        augment: training augmentation, a name that `hh_keras.data.load` knows.
        seed: of shuffling, augmentation and initial weights.

    Raises:
        HHError: a field is out of its range; the message names it.

    Reference: Li et al., arXiv:2006.16242, section 4.
    """

    epochs: int = 3
    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    augment: str = "none"
    seed: int = 0

    def __post_init__(self):
        for name, kind, valid, remedy in _RULES:
            value = getattr(self, name)
            if not (_is_a(value, kind) and valid(value)):
                raise HHError(f"recipe: {name} is {value!r}; it must be {remedy}.")
        if self.warmup_epochs > self.epochs:
            raise HHError(
                f"recipe: warmup_epochs is {self.warmup_epochs}, more than the "
                f"{self.epochs} epochs there are; lower it."
            )

    def to_json(self):
        """Returns the recipe as a JSON object, one line per field."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text):
        """Reads what `to_json` wrote; fields left out take their defaults.

        Raises:
            HHError: not a JSON object, or a field that no recipe has.
        """
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise HHError(f"recipe: not valid JSON ({error}).") from error
        if not isinstance(fields, dict):
            raise HHError("recipe: the JSON must be an object of fields.")
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(fields) - set(known))
        if unknown:
            raise HHError(
                f"recipe: no such field: {', '.join(unknown)}; "
                f"the fields are {', '.join(known)}."
            )
        return cls(**fields)


def _is_a(value, kind):
    """Whether value is of a kind; bool is no number, and int passes for float."""
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, kind)


_RULES = (
    ("epochs", int, lambda v: v >= 1, "a whole number of at least 1"),
    ("batch_size", int, lambda v: v >= 1, "a whole number of at least 1"),
    ("learning_rate", float, lambda v: v > 0, "a number above 0"),
    ("momentum", float, lambda v: 0 <= v < 1, "a number in [0, 1)"),
    ("nesterov", bool, lambda v: True, "true or false"),
    ("weight_decay", float, lambda v: v >= 0, "a number of at least 0"),
    ("label_smoothing", float, lambda v: 0 <= v < 1, "a number in [0, 1)"),
    ("schedule", str, lambda v: v in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
    ("warmup_epochs", float, lambda v: v >= 0, "a number of at least 0"),
    ("augment", str, lambda v: bool(v), "the name of an augmentation"),
    ("seed", int, lambda v: v >= 0, "a whole number of at least 0"),
)
