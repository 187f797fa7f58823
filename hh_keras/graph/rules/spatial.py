"""Layers that move or mix values in space and leave every channel to itself."""

from typing import Any

import keras

from hh_keras.graph.ids import IdTensor
from hh_keras.graph.rules.registry import Effect, RuleCall, register_rule

_L = keras.layers


def _channel_axis(op, rank):
    return 1 if getattr(op, "data_format", None) == "channels_first" else rank - 1


def _only_channels_vary(op, call):
    axis = _channel_axis(op, call.x.rank)
    return all(a == axis for a in call.x.varying)


@register_rule(
    _L.MaxPooling1D,
    _L.MaxPooling2D,
    _L.MaxPooling3D,
    _L.AveragePooling1D,
    _L.AveragePooling2D,
    _L.AveragePooling3D,
    _L.UpSampling2D,
    _L.UpSampling3D,
    _L.Cropping2D,
    _L.Cropping3D,
    _L.Resizing,
    _L.CenterCrop,
    _L.RandomCrop,
    _L.RandomFlip,
    _L.RandomRotation,
    _L.RandomTranslation,
    _L.RandomZoom,
    "keras.ops.MaxPool",
    "keras.ops.AveragePool",
    "keras.ops.Resize",
)
def spatial(op: Any, call: RuleCall) -> Effect:
    if _only_channels_vary(op, call):
        return call.passes()
    return call.stops("works in space along an axis of channels")


@register_rule(_L.UpSampling1D, _L.Cropping1D)
def spatial_1d(op: Any, call: RuleCall) -> Effect:
    """Axis 1 changes, or the last one where channels come first."""
    first = getattr(op, "data_format", None) == "channels_first"
    if (2 if first else 1) not in call.x.varying:
        return call.passes()
    return call.stops("works in space along an axis of channels")


@register_rule(
    _L.GlobalAveragePooling1D,
    _L.GlobalAveragePooling2D,
    _L.GlobalAveragePooling3D,
    _L.GlobalMaxPooling1D,
    _L.GlobalMaxPooling2D,
    _L.GlobalMaxPooling3D,
)
def global_pooling(op: Any, call: RuleCall) -> Effect:
    if not _only_channels_vary(op, call):
        return call.stops("pools along an axis of channels")
    if op.keepdims:
        return call.passes()
    axis = _channel_axis(op, call.x.rank)
    ids = call.x.ids.reshape(1, call.x.ids.shape[axis])
    return Effect(IdTensor(ids, tuple(call.shape)))


_AUGMENTATIONS = """
    RandomBrightness RandomContrast RandomColorDegeneration RandomColorJitter
    RandomGrayscale RandomHue RandomSaturation RandomSharpness
    RandomPosterization RandomShear RandomPerspective RandomErasing
    RandomGaussianBlur RandomElasticTransform AutoContrast Equalization
    Solarization RandAugment AugMix MixUp
    CutMix
""".split()


@register_rule(*(getattr(_L, n) for n in _AUGMENTATIONS if hasattr(_L, n)))
def image_augmentation(op: Any, call: RuleCall) -> Effect:
    """Made for pictures: fine in front of the network, frozen inside it."""
    if all(x.is_fixed for x in call.inputs):
        return call.passes()
    return call.stops("an image augmentation applied to channels")
