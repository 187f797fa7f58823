"""Images of any size: tiles give what the whole gives; sizes, pictures, signature."""

import io
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from hh_keras.errors import DataError, ModelError
from hh_keras.tasks.segmentation.classes import IGNORED
from hh_keras.tasks.segmentation.evaluation import evaluated
from hh_keras.tasks.segmentation.pictures import (
    clear_classes,
    plot_by_class,
    plot_overlays,
)
from hh_keras.tasks.segmentation.preview import colours, overlay, preview
from hh_keras.tasks.segmentation.signature import segment_bytes
from hh_keras.tasks.segmentation.task import check_model
from hh_keras.tasks.segmentation.whole import outputs_of, segment, size_multiple
from tests.zoo import randomize

L = keras.layers


def down_and_up(classes=3, channels=3):
    """Sees 11 pixels far, in multiples of 4."""
    image = keras.Input((None, None, channels))
    x = L.Conv2D(4, 3, strides=2, padding="same", activation="relu")(image)
    x = L.MaxPooling2D(2)(x)
    x = L.Conv2DTranspose(4, 2, 2, activation="relu")(L.Conv2D(4, 3, padding="same")(x))
    x = L.UpSampling2D(2)(L.Conv2D(classes, 1)(x))
    return randomize(keras.Model(image, x))


def sees_all(classes=3):
    """With the mean of the image, as DeepLab has it, at an eighth of its size."""
    image = keras.Input((None, None, 3))
    x = L.Conv2D(4, 3, strides=8, padding="same", activation="relu")(image)
    x = x + L.Conv2D(4, 1)(L.GlobalAveragePooling2D(keepdims=True)(x))
    return randomize(keras.Model(image, L.UpSampling2D(8)(L.Conv2D(classes, 1)(x))))


IMAGE = np.random.default_rng(0).integers(0, 256, (93, 78, 3)).astype("float32")


def whole(model, image, multiple):
    """By definition: the border goes on up to the multiple, and is cut off."""
    beyond = [(0, -n % multiple) for n in image.shape[:2]]
    padded = np.pad(image, [*beyond, (0, 0)], "edge")
    outputs = model.predict(padded[None], verbose=0)[0]
    return outputs[: image.shape[0], : image.shape[1]]


@pytest.mark.parametrize(
    ("build", "multiple", "tile"), [(down_and_up, 4, 48), (sees_all, 8, None)]
)
def test_any_size(build, multiple, tile):
    model = build()
    assert size_multiple(model) == multiple
    found = outputs_of(model, tile)(IMAGE)
    wanted = whole(model, IMAGE, multiple)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.ptp(wanted))
    mask = segment(model, IMAGE.astype(np.uint8), tile)
    assert mask.dtype == np.uint8
    assert (mask == wanted.argmax(-1)).mean() > 0.999


def test_networks_that_shrink_their_images_are_refused():
    image = keras.Input((None, None, 3))
    pooled = L.GlobalMaxPooling2D(keepdims=True)(image)
    x = L.Conv2D(2, 3, strides=2)(image + pooled)
    with pytest.raises(ModelError, match="as high and wide as its images"):
        size_multiple(keras.Model(image, x))


class AsksForTheSize(L.Layer):
    def call(self, x):
        return x if keras.ops.shape(x)[1] > 4 else 2 * x


def test_networks_that_need_to_know_the_size_are_refused():
    data = types.SimpleNamespace(image_shape=(8, 8, 3), class_names=("a", "b", "c"))
    check_model(down_and_up(), data)
    image = keras.Input((None, None, 3))
    layer, inner = AsksForTheSize(), L.Conv2D(3, 1)(image)
    layer.compute_output_spec = lambda x: keras.KerasTensor(x.shape)
    with pytest.raises(ModelError, match="size is not known beforehand"):
        check_model(keras.Model(image, layer(inner)), data)


def batches(image, mask):
    return tf.data.Dataset.from_tensors((image[None], mask[None]))


def test_evaluation_of_data_that_do_not_fit():
    mask = np.full((8, 8), 2, np.uint8)
    with pytest.raises(DataError, match="knows 2 classes, but the masks hold class 2"):
        evaluated(down_and_up(2), batches(IMAGE[:8, :8], mask))
    with pytest.raises(DataError, match="not a single pixel"):
        evaluated(down_and_up(2), batches(IMAGE[:8, :8], mask * 0 + IGNORED))
    halves = outputs_of(lambda image: image[::2, ::2])
    with pytest.raises(DataError, match="as high and wide"):
        evaluated(halves, batches(IMAGE[:8, :8], mask))


def test_image_files_become_masks():
    model = down_and_up()
    signature = segment_bytes(model)
    buffer = io.BytesIO()
    Image.fromarray(IMAGE.astype(np.uint8)).save(buffer, "PNG")
    files = [buffer.getvalue(), b"GIF89a", buffer.getvalue()[:100]]
    answer = signature.call(tf.constant(files))
    found = tf.io.decode_png(answer["png"][0]).numpy()
    wanted = whole(model, IMAGE, 4).argmax(-1)
    assert found.shape == (93, 78, 1) and (found[..., 0] == wanted).mean() > 0.999
    errors = answer["error"].numpy()
    assert errors[0] == b"" and b"GIF" in errors[1] and b"damaged" in errors[2]
    assert answer["png"][1] == b""
    with pytest.raises(ModelError, match="masks are made of"):
        segment_bytes(keras.Model(model.inputs, model.outputs[0][..., :1]))


def test_overlays():
    mask = np.array([[0, 1], [2, IGNORED]])
    grey = np.full((2, 2, 1), 200)
    found = overlay(grey, mask, 3, clear=(0,))
    assert found.dtype == np.uint8 and (found[0, 0] == 200).all()
    assert (found[1, 1] == 200).all()
    tints = colours(3)
    for place, c in (((0, 1), 1), ((1, 0), 2)):
        np.testing.assert_allclose(found[place], 80 + 0.6 * tints[c], atol=1)
    for count in (9, 20, 60):
        assert len({tuple(c) for c in colours(count)}) == count


def test_pictures():
    mask = np.random.default_rng(1).integers(0, 3, (93, 78)).astype(np.uint8)
    rows = preview(down_and_up(), batches(IMAGE, mask), 2)
    assert len(rows) == 1 and rows[0]["output"].shape == (93, 78, 3)
    figure = plot_overlays(rows, ("background", "cat", "$dog"))
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["cat", "$dog"] and clear_classes(("a", "Background")) == (1,)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "image", "mask", "found"
    ]  # fmt: skip
    shares = {"original": np.array([0.9, np.nan]), "lw_dna": np.array([0.8, 0.3])}
    figure = plot_by_class(shares, ("a", "b"))
    assert "LW-DNA finds 'b' worst: 30.00 %" in figure.get_suptitle()
