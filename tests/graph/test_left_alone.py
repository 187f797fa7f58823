"""Parts of a network that are left alone keep all of their channels."""

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras.errors import HHError

L = keras.layers
NECK = ("neck_in", "neck_out")


def detector():
    """A nested backbone, a neck that is tied to it, two heads."""
    pixels = keras.Input((16, 16, 3))
    x = L.Conv2D(16, 3, name="stem")(pixels)
    x = L.BatchNormalization(name="stem_bn")(x)
    x = L.DepthwiseConv2D(3, name="depthwise")(x)
    x = L.Conv2D(24, 3, name="deep")(L.ReLU()(x))
    backbone = keras.Model(pixels, L.Conv2D(16, 1, name="last")(x), name="backbone")
    image = keras.Input((16, 16, 3), name="image")
    features = backbone(image)
    neck = L.Conv2D(16, 3, padding="same", name="neck_in")(features)
    neck = L.Add(name="sum")([features, neck])  # ties last and neck_in
    neck = L.Conv2D(32, 1, name="neck_out")(neck)
    outputs = {
        "boxes": L.Conv2D(4, 1, name="boxes")(neck),
        "kinds": L.Conv2D(5, 1, name="kinds")(neck),
    }
    return keras.Model(image, outputs, name="detector")


def frozen(**patterns):
    """Names of the layers that make the channels that are left alone, and the rest."""
    channels = hh.leave_alone(hh.trace(detector()), **patterns)
    alone, free = set(), set()
    for group in channels.groups:
        if group.frozen is None:
            free.update(group.producers)
        elif group.frozen.startswith("left alone: "):
            alone.update(group.producers)
    return alone, free


@pytest.mark.parametrize(
    "patterns, free",
    [
        ({"only": "backbone"}, {"backbone/stem", "backbone/deep"}),
        ({"only": ["neck_*", "last"]}, {"backbone/last", "neck_in", "neck_out"}),
        ({"only": "backbone", "freeze": "deep"}, {"backbone/stem"}),
        ({"freeze": "backbone"}, {"neck_out"}),
        ({"freeze": "neck_in"}, {"backbone/stem", "backbone/deep", "neck_out"}),
        ({"freeze": "depthwise"}, {"backbone/deep", "backbone/last", *NECK}),
        ({"freeze": "stem_bn"}, {"backbone/deep", "backbone/last", *NECK}),
    ],
)
def test_patterns(patterns, free):
    alone, rest = frozen(**patterns)
    assert rest == free
    assert not alone & free
    assert len(alone | free) == 5


def test_a_groups_name_stands_for_what_is_tied_and_says_so():
    with pytest.warns(UserWarning, match="'backbone/last'.* neck_in shrinks, too"):
        _, rest = frozen(only="backbone/last")
    assert rest == {"backbone/last", "neck_in"}


@pytest.mark.parametrize("width", [1, 2])
def test_only_what_is_to_shrink_shrinks(width):
    model = detector()
    found = hh.shrink(
        model,
        budget=hh.Budget(macs=0.8 * hh.cost(model).macs),
        width=width,
        only="backbone",
        round_to=1,
    )
    before, after = (
        {path: kernel.shape for path, kernel in kernels(each)}
        for each in (model, found.model)
    )
    for path, shape in before.items():
        same = shape[-1] == after[path][-1]
        assert same == (path not in ("stem", "deep")), path
    assert found.cost_after.macs <= 0.8 * found.cost_before.macs
    assert set(found.plan.notes["left_alone"]) == {"backbone/last", "neck_out"}
    outputs = found.model(np.zeros((1, 16, 16, 3), "float32"))
    assert set(outputs) == {"boxes", "kinds"}


def kernels(model):
    for layer in model._flatten_layers():
        if isinstance(layer, L.Conv2D) and not isinstance(layer, L.DepthwiseConv2D):
            yield layer.name, layer.kernel


@pytest.mark.parametrize(
    "patterns, message",
    [
        ({"only": "bakcbone"}, "only=bakcbone: no layer, group.*nearest, backbone"),
        ({"freeze": "nek*"}, "freeze=nek.*nearest, neck"),
        ({"freeze": "sum"}, "freeze=sum: what fits makes no channels"),
        ({"only": "neck_in"}, "nothing is left to shrink"),
        ({"only": []}, "only names nothing"),
        ({"freeze": 3}, "names or shell patterns of layers; got 3"),
        ({"freeze": "*"}, "nothing is left to shrink"),
    ],
)
def test_patterns_that_fit_nothing(patterns, message):
    with pytest.raises(HHError, match=message):
        frozen(**patterns)


def test_what_was_frozen_before_keeps_its_reason():
    channels = hh.leave_alone(hh.trace(detector()), freeze="boxes")
    assert "model output" in channels.group("boxes").frozen
