"""The page in a browser: the same answers as Python, and plain words for mistakes."""

import json
import pathlib
import shutil

import keras
import matplotlib
import numpy as np
import pytest
from PIL import Image

import hh_keras.data
from hh_keras import export
from hh_keras.data.decoding import decode_image
from tests.deploy import browser
from tests.deploy.browser import problem, site_in

SAMPLES = pathlib.Path(matplotlib.get_data_path()) / "sample_data"
LABELS = [f"kind {k}" for k in range(10)]

pytestmark = browser.NEEDED


def trained(shape, filters):
    """A small network that has seen some real images."""
    data = hh_keras.data.load("embedded", image_shape=shape, batch_size=64, limit=1500)
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    for n in filters:
        x = keras.layers.Conv2D(n, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(data.train, epochs=2, verbose=0, shuffle=False)
    return model, np.concatenate([x for x, _ in data.validation])[:100]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = site_in(tmp_path_factory.mktemp("web") / "site")
    models = site / "models"
    grey, images = trained((28, 28, 1), (16, 32))
    export.tflite(grey, models / "original.tflite", labels=LABELS)
    rgb, colours = trained((40, 30, 3), (8, 16, 24))
    given = {"quantize": "int8", "labels": LABELS}
    export.tflite(rgb, models / "lw_dna.tflite", representative=colours, **given)
    export.tflite(
        grey, models / "whole.tflite", representative=images, integer_io=True, **given
    )
    export.tflite(rgb, models / "rgb_float.tflite", labels=LABELS)
    return site


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Photographs and a garment, as JPEG and PNG, larger and smaller than wanted."""
    folder = tmp_path_factory.mktemp("pictures")
    photo = Image.open(SAMPLES / "grace_hopper.jpg")
    photo.save(folder / "photo.png")
    shutil.copy(SAMPLES / "grace_hopper.jpg", folder / "photo.jpg")
    data = hh_keras.data.load("embedded", batch_size=8, limit=8)
    garment = next(data.validation.as_numpy_iterator())[0][0, :, :, 0]
    Image.fromarray(garment.astype(np.uint8)).save(folder / "garment.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def page(site, tmp_path_factory):
    """The page in a browser whose camera is a moving test pattern."""
    flags = "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
    profile = tmp_path_factory.mktemp("profile")
    with browser.served(site) as url, browser.opened(url, profile, *flags) as call:
        browser.wait_for(call, "document.querySelector('#lw_dna .facts')?.textContent")
        yield call


RUN = """(async () => {
    const { openModel } = await import("./model.js");
    const { tensorOf } = await import("./pixels.js");
    const [name, picture] = %s;
    const description = await (await fetch(`models/${name}.json`)).json();
    const content = await (await fetch(`models/${name}.tflite`)).arrayBuffer();
    const blob = await (await fetch(picture)).blob();
    const bitmap = await createImageBitmap(blob, {colorSpaceConversion: "none"});
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height);
    const model = await openModel({
        name: `${name}.tflite`, bytes: new Uint8Array(content), description,
    });
    const tensor = tensorOf(pixels, description.input);
    const { values, probabilities } = await model.run(tensor);
    const ms = await model.clock(tensor);
    model.close();
    return {
        tensor: Array.from(tensor), values: Array.from(values),
        probabilities: Array.from(probabilities), ms,
    };
})()"""


@pytest.mark.parametrize("name", ["original", "rgb_float", "lw_dna", "whole"])
def test_answers_are_those_of_python(page, site, pictures, name):
    path = site / "models" / f"{name}.tflite"
    described = json.loads(path.with_suffix(".json").read_text())
    shape = tuple(described["input"]["shape"][1:])
    for picture in pictures:
        shutil.copy(picture, site)
        found = browser.evaluate(page, RUN % json.dumps([name, picture.name]))
        pixels = decode_image(picture.read_bytes(), shape).astype("float32")[None]
        tensor = np.array(found["tensor"]).reshape(pixels.shape)
        scale = described["input"].get("quantization")
        if scale:
            tensor = (tensor - scale["zero_point"]) * scale["scale"]
        # Another decoder of JPEG may round otherwise; all that follows is the same.
        off = 1 if picture.suffix == ".jpg" else 0
        off += scale["scale"] / 2 if scale else 0
        assert np.abs(tensor - pixels).max() <= off
        wanted = export.predict(path, pixels)[0]
        values = np.array(found["values"])
        step = described["output"].get("quantization", {}).get("scale")
        share = 1e-3 if described["quantize"] == "float32" else 0.02
        tolerance = max(step or 0, share * np.ptp(wanted))
        assert np.abs(values - wanted).max() <= tolerance
        assert values.argmax() == wanted.argmax()
        likely = np.exp(wanted - wanted.max())
        likely /= likely.sum()
        assert np.abs(np.array(found["probabilities"]) - likely).max() < 0.01
        assert found["ms"] > 0


def answer(call, slot):
    script = f"document.querySelector('#{slot} .answer strong').textContent"
    return browser.evaluate(call, script)


def test_an_image_is_classified_by_both(page, site, pictures):
    browser.choose(page, "image", pictures[0])
    said = browser.wait_for(page, "document.querySelector('#summary').textContent")
    assert "× the time" in said and "× the bytes" in said
    for slot in ("original", "lw_dna"):
        path = site / "models" / f"{slot}.tflite"
        shape = export.input_shape(path)
        pixels = decode_image(pictures[0].read_bytes(), shape)[None]
        best = export.predict(path, pixels.astype("float32"))[0].argmax()
        assert answer(page, slot) == LABELS[best]
        script = f"document.querySelector('#{slot} .time').textContent"
        assert " ms" in browser.evaluate(page, script)


def test_another_file_is_chosen_from_the_list(page):
    script = """(() => {
        const list = document.querySelector("#lw_dna select");
        list.value = "whole.tflite";
        list.dispatchEvent(new Event("change"));
    })()"""
    browser.evaluate(page, script)
    facts = "document.querySelector('#lw_dna .facts').textContent"
    assert "28 × 28 grey" in browser.wait_for(page, facts)
    browser.wait_for(page, "document.querySelector('#lw_dna .answer').textContent")


def test_the_camera_is_classified_until_it_is_stopped(page):
    browser.evaluate(page, "document.querySelector('#camera').click()")
    browser.wait_for(page, "document.querySelector('#camera').textContent == 'Stop'")
    browser.wait_for(page, "document.querySelector('#shown').width >= 320")
    browser.wait_for(page, "document.querySelector('#summary').textContent")
    browser.evaluate(page, "document.querySelector('#camera').click()")
    browser.wait_for(page, "document.querySelector('#camera').textContent == 'Camera'")


def test_mistakes_are_told_in_plain_words(page, site, pictures, tmp_path):
    wrong = tmp_path / "broken.jpg"
    wrong.write_bytes(b"no image")
    browser.choose(page, "image", wrong)
    assert "broken.jpg cannot be read as an image" in problem(page)
    browser.choose(page, "image", pictures[0])
    browser.wait_for(page, "document.querySelector('#problem').hidden")
    source = site / "models" / "original.tflite"
    alone = shutil.copy(source, tmp_path / "alone.tflite")
    browser.choose(page, "models", alone)
    assert "choose alone.json together with it" in problem(page)
    other = shutil.copy(source.with_name("lw_dna.json"), tmp_path / "alone.json")
    browser.choose(page, "models", alone, other)
    assert "describes another file" in problem(page)
    pathlib.Path(other).write_text("{}")
    browser.choose(page, "models", alone, other)
    assert "alone.tflite has no description" in problem(page)


def test_no_camera_and_no_models(tmp_path):
    site = site_in(tmp_path / "site", models=False)
    with browser.served(site) as url:
        with browser.opened(url, tmp_path / "profile") as call:
            assert "no models yet" in problem(call)
            permission = {"name": "camera"}
            call("Browser.setPermission", permission=permission, setting="denied")
            browser.evaluate(call, "document.querySelector('#camera').click()")
            said = "document.querySelector('#problem').textContent"
            browser.wait_for(call, f"{said}.includes('camera')")
