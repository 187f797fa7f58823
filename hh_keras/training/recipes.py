"""A recipe: the training protocol as one frozen value.

The heterogeneity hypothesis compares two networks *under the same protocol*;
giving both the same `Recipe` object is how this package keeps that promise.
"""

import dataclasses
import json
import math

from hh_keras.errors import HHError

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("cosine", "step", "constant")
"""Shapes of the learning rate over the steps, see `Recipe`.

Examples:
    >>> hh_keras.training.SCHEDULES
    ('cosine', 'step', 'constant')
"""
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
DISTILLATIONS = ("none", "kd", "sp", "match")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained, by default with SGD with momentum, as in the paper.

    The defaults are the paper's ImageNet protocol (batch 256, 150 epochs there)
    scaled to small data; `schedule="step"` is its CIFAR protocol.

    Attributes:
        epochs: passes over the training data, at least 1.
        batch_size: examples per step, over all replicas together.
        learning_rate: the peak, reached at the end of the warm-up.
        lr_batch_size: the batch size that `learning_rate` is meant for; with another
            `batch_size` it is scaled linearly (arXiv:1706.02677). 0: as it stands.
        optimizer: "sgd", or "adam" (arXiv:1412.6980), which networks that restore
            images are trained with.
        momentum: of SGD, or Adam's first beta, in [0, 1).
        nesterov: whether to use Nesterov's momentum.
        weight_decay: added to the gradient as `weight_decay * w` for every
            trainable weight (see `CoupledSGD`).
        decay_vectors: whether weights of one axis decay too, that is biases and the
            gains and offsets of normalisations.
        label_smoothing: share of the target spread over all classes, in [0, 1).
        schedule: "cosine" (to 0 at the last step), "step" (divided by 10 at half
            and at three quarters of the steps) or "constant".
        warmup_epochs: linear warm-up from 0, may be fractional; it is part of
            `epochs`.
        clip_norm: gradients whose global norm is larger are scaled down to it; 0 for
            none.
        ema: momentum of a moving average of the weights, which is what is validated
            and kept; 0 for none.
        precision: "float32", "mixed_bfloat16" or "mixed_float16" (with loss scaling).
            Weights are float32 in any case; the last layer computes in it.
        sync_batch_norm: whether BatchNormalization sees the statistics of the global
            batch rather than of a replica's share.
        patience: training ends when the validation measure has not risen for so many
            epochs; 0 for never.
        distill: what a teacher adds to the loss: "kd" (its softened outputs,
            arXiv:1503.02531), "sp" (similarities within the batch, arXiv:1907.09682),
            "match" (its outputs, and the features that a smaller network has kept of
            it, by squared error) or "none".
        distill_weight: of the teacher's part: `w * KD + (1 - w) * loss`, `w * SP +
            loss`, and "match" like "kd"; None is the paper's 0.4 and 3000, and 1.
        temperature: of "kd".
        feature_weight: of the features in "match", beside the outputs; 0 for none.
        distill_layers: features to compare by "sp" beside the outputs, separated by
            commas: "layer", or "layer=teacher's layer".
        augment: training augmentation, a name that `hh_keras.data.load` knows.
        rand_augment: operations of RandAugment per image (arXiv:1909.13719); 0, none.
        mixup: alpha of MixUp (arXiv:1710.09412); 0 for none.
        cutmix: alpha of CutMix (arXiv:1905.04899); 0 for none.
        minutes: wall-clock time that a training shall take, its validations and
            checkpoints included: as many steps as the first ones let expect, under the
            whole of the schedule. `epochs` then only gives warm-up its share. 0: what
            `epochs` says.
        frozen_statistics: whether the network learns as it predicts:
            BatchNormalization by the moving statistics it has (its gains and offsets
            learn), dropout off. Statistics of few images, or of small batches, harm
            inherited weights.
        seed: of shuffling, augmentation and initial weights.

    Raises:
        HHError: a field is out of its range; the message names it.

    Examples:
        >>> recipe = hh_keras.training.Recipe(epochs=150, batch_size=256, ema=0.99)
        >>> recipe.schedule, recipe.peak_learning_rate
        ('cosine', 0.1)
        >>> hh_keras.training.Recipe.from_json(recipe.to_json()) == recipe
        True

    Reference: Li et al., arXiv:2006.16242, section 4.
    """

    epochs: int = 3
    batch_size: int = 64
    learning_rate: float = 0.1
    lr_batch_size: int = 0
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_vectors: bool = True
    label_smoothing: float = 0.0
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    clip_norm: float = 0.0
    ema: float = 0.0
    precision: str = "float32"
    sync_batch_norm: bool = False
    patience: int = 0
    distill: str = "none"
    distill_weight: float | None = None
    temperature: float = 4.0
    feature_weight: float = 3.0
    distill_layers: str = ""
    augment: str = "none"
    rand_augment: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    minutes: float = 0.0
    frozen_statistics: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind, valid, remedy in _RULES:
            value = getattr(self, name)
            if not (_is_a(value, kind) and valid(value)):
                raise HHError(f"recipe: {name} is {value!r}; it must be {remedy}.")
        if self.distill in ("kd", "match") and (self.distill_weight or 0) > 1:
            raise HHError(
                f"recipe: distill_weight is {self.distill_weight}; for {self.distill} "
                "it is a share of the loss, at most 1."
            )
        if self.distill_layers and self.distill != "sp":
            raise HHError(
                "recipe: distill_layers are compared by distill='sp' only; choose it, "
                "or leave them out."
            )
        if self.nesterov and self.optimizer != "sgd":
            raise HHError(
                f"recipe: nesterov is for sgd, the optimizer is {self.optimizer}; "
                "choose one of them."
            )
        if self.warmup_epochs > self.epochs:
            raise HHError(
                f"recipe: warmup_epochs is {self.warmup_epochs}, more than the "
                f"{self.epochs} epochs there are; lower it."
            )

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate at the end of the warm-up, for this batch size."""
        if not self.lr_batch_size:
            return float(self.learning_rate)
        return self.learning_rate * self.batch_size / self.lr_batch_size

    def to_json(self) -> str:
        """Returns the recipe as a JSON object, one line per field."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
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
    if isinstance(kind, tuple):
        return any(_is_a(value, each) for each in kind)
    if kind is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, kind)


_COUNT = (int, lambda v: v >= 0, "a whole number of at least 0")
_POSITIVE_COUNT = (int, lambda v: v >= 1, "a whole number of at least 1")
_AMOUNT = (float, lambda v: v >= 0, "a number of at least 0")
_POSITIVE = (float, lambda v: v > 0, "a number above 0")
_SHARE = (float, lambda v: 0 <= v < 1, "a number in [0, 1)")
_SWITCH = (bool, lambda v: True, "true or false")


def _one_of(names):
    return (str, lambda v: v in names, f"one of {', '.join(names)}")


_RULES = (
    ("epochs", *_POSITIVE_COUNT),
    ("batch_size", *_POSITIVE_COUNT),
    ("learning_rate", *_POSITIVE),
    ("lr_batch_size", *_COUNT),
    ("optimizer", *_one_of(OPTIMIZERS)),
    ("momentum", *_SHARE),
    ("nesterov", *_SWITCH),
    ("weight_decay", *_AMOUNT),
    ("decay_vectors", *_SWITCH),
    ("label_smoothing", *_SHARE),
    ("schedule", *_one_of(SCHEDULES)),
    ("warmup_epochs", *_AMOUNT),
    ("clip_norm", *_AMOUNT),
    ("ema", *_SHARE),
    ("precision", *_one_of(PRECISIONS)),
    ("sync_batch_norm", *_SWITCH),
    ("patience", *_COUNT),
    ("distill", *_one_of(DISTILLATIONS)),
    ("distill_weight", (float, type(None)), lambda v: v is None or v > 0, "above 0"),
    ("temperature", *_POSITIVE),
    ("feature_weight", *_AMOUNT),
    ("distill_layers", str, lambda v: True, "names of layers"),
    ("augment", str, lambda v: bool(v), "the name of an augmentation"),
    ("rand_augment", *_COUNT),
    ("mixup", *_AMOUNT),
    ("cutmix", *_AMOUNT),
    ("minutes", *_AMOUNT),
    ("frozen_statistics", *_SWITCH),
    ("seed", *_COUNT),
)
