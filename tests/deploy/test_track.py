"""The page that follows: Python's boxes, and plain words for mistakes."""

import json
import re
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import hh_keras.models
from hh_keras import export
from hh_keras.tasks.tracking.data import boxes, cropping
from hh_keras.tasks.tracking.data.sequences import open_videos
from hh_keras.tasks.tracking.following.about import PARTS, about
from hh_keras.tasks.tracking.following.settings import Settings
from hh_keras.tasks.tracking.networks.halves import halves
from hh_keras.tasks.tracking.networks.trackers import tracker
from hh_keras.tasks.tracking.opening import open_tracker
from tests.deploy import browser
from tests.deploy.browser import problem, site_in

pytestmark = browser.NEEDED

# Name → backbone, kind, strides, whether sides are told. None is trained: a filter on
# random features follows, a head says what it says, the same everywhere.
TRACKERS = {
    "filter": ("resnet8", "filter", (1, 2, 4), False),
    "siamese": ("mobilenetv2_tiny", "siamese", (2, 4, 8), True),
}
SETTINGS = {
    "filter": Settings(scale_every=2),
    "siamese": Settings(sides_rate=0.3),
}


def write_tracker(folder, name, network, settings=None, **options):
    parts, told = halves(network), about(network, settings)
    for part, half in zip(PARTS, (parts.exemplar, parts.search)):
        path = folder / f"{name}{part}.tflite"
        export.tflite(half, path, about=told[part], **options)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = site_in(tmp_path_factory.mktemp("web") / "site")
    for name, (backbone, kind, strides, sides) in TRACKERS.items():
        keras.utils.set_random_seed(0)
        network = hh_keras.models.build(backbone, (48, 48, 3), 10)
        network = tracker(network, kind, strides, sides, 16)
        write_tracker(site / "models", name, network, SETTINGS[name])
    return site


@pytest.fixture(scope="module")
def video():
    """Boxes and frames of a fig that moves over other pictures."""
    (video,) = (v for v in open_videos("embedded", "val") if v.name == "fig")
    return video.boxes, [frame() for frame in video.frames]


@pytest.fixture(scope="module")
def page(site, video, tmp_path_factory):
    """The page in a browser whose camera sees the video, again and again."""
    folder = tmp_path_factory.mktemp("browser")
    flags = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={y4m(folder / 'camera.y4m', video[1])}",
    )
    with browser.served(site) as url:
        address = url + "track.html?model=filter"
        with browser.opened(address, folder / "profile", *flags) as call:
            browser.wait_for(call, FACTS)
            yield call


FACTS = "document.querySelector('#tracker .facts').textContent"
SAID = "document.querySelector('#said').textContent"
FOLLOWED = "Number(/(\\d+) followed/.exec(document.body.innerText)?.[1])"


def y4m(path, frames):
    """Writes frames as a video without compression."""
    height, width, _ = frames[0].shape
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420\n".encode())
        for frame in frames:
            y, *colours = Image.fromarray(frame).convert("YCbCr").split()
            small = [c.resize((width // 2, height // 2)) for c in colours]
            file.write(b"FRAME\n" + b"".join(x.tobytes() for x in (y, *small)))
    return path


def webm(path, frames):
    cv2 = pytest.importorskip("cv2")
    height, width, _ = frames[0].shape
    code = cv2.VideoWriter.fourcc(*"VP80")
    writer = cv2.VideoWriter(str(path), code, 25, (width, height))
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()
    return path


MODULES = """
const { crop, openTracker } = await import("./tracker.js");
const { fetched } = await import("./page.js");
async function frameOf(picture) {
    const blob = await (await fetch(picture)).blob();
    const bitmap = await createImageBitmap(blob, {colorSpaceConversion: "none"});
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height);
}
"""

CROPS = """(async () => { %s
    const frame = await frameOf("frame.png");
    return %s.map(([centre, side, size]) =>
        Array.from(crop(frame, centre, side, size, [10, 20, 30])));
})()"""


def test_crops_are_those_of_python(page, site, video):
    frame = video[1][0]
    Image.fromarray(frame).save(site / "frame.png")
    rng = np.random.default_rng(0)
    squares = [
        (rng.uniform(-20, (260, 200)).tolist(), side, size)
        for side, size in ((60.0, 48), (20.5, 48), (333.3, 31), (48.0, 48), (97.7, 13))
    ]
    found = browser.evaluate(page, CROPS % (MODULES, json.dumps(squares)))
    for (centre, side, size), pixels in zip(squares, found):
        fill = np.array([10, 20, 30], np.uint8)
        wanted = cropping.crop(frame, np.array(centre), side, size, fill)
        np.testing.assert_array_equal(np.reshape(pixels, wanted.shape), wanted)


FOLLOW = """(async () => { %s
    const [name, box, count] = %s;
    const parts = ["exemplar", "search"].map((part) => `${name}_${part}.tflite`);
    const tracker = await openTracker(await Promise.all(parts.map(fetched)));
    await tracker.start(await frameOf("0.png"), box);
    const found = [];
    for (let k = 1; k < count; k++) {
        const { box, score } = await tracker.update(await frameOf(`${k}.png`));
        found.push([...box, score]);
    }
    tracker.close();
    return found;
})()"""


def way(call, site, name, frames, box):
    """Boxes and scores in the browser, and in Python."""
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(site / f"{number}.png")
    asked = json.dumps([name, list(map(float, box)), len(frames)])
    found = np.array(browser.evaluate(call, FOLLOW % (MODULES, asked)))
    wanted = open_tracker(site / f"models/{name}_search.tflite")
    wanted.start(frames[0], box)
    return found, np.array([np.r_[wanted.update(frame)] for frame in frames[1:]])


@pytest.mark.parametrize("name", TRACKERS)
def test_boxes_are_those_of_python(page, site, video, name):
    # Every third frame: the target goes far from one to the next.
    found, wanted = way(page, site, name, video[1][:37:3], video[0][0])
    assert np.abs(wanted[-1, :2] - video[0][0, :2]).max() > 5
    assert np.abs(found - wanted)[:, :4].max() < 0.5
    assert np.abs(found - wanted)[:, 4].max() < 1e-3


def test_integer_files_follow_alike(page, site, video):
    truth, frames = video
    backbone, kind, strides, sides = TRACKERS["siamese"]
    network = hh_keras.models.build(backbone, (48, 48, 3), 10)
    network = tracker(network, kind, strides, sides, 16)
    seen = np.stack([cut(*each) for each in zip(frames[:8], truth)])
    kernel = export.predict(halves(network).exemplar, seen)
    for part, inputs in (("_exemplar", seen), ("_search", [seen, *kernel])):
        half = getattr(halves(network), part[1:])
        path = site / f"models/whole{part}.tflite"
        export.tflite(
            half, path, quantize="int8", representative=inputs, integer_io=True,
            about=about(network)[part],
        )  # fmt: skip
    found, wanted = way(page, site, "whole", frames[:12], truth[0])
    assert np.abs(found - wanted)[:, :4].max() < 0.5


def cut(frame, box):
    side = 3 * cropping.target_side(box)
    fill = cropping.mean_colour(frame)
    image = cropping.crop(frame, boxes.centres(box), side, 48, fill)
    return image.astype("float32")


PLACES = """(([x, y, w, h]) => {
    const {left, top, width} = document.querySelector("#shown").getBoundingClientRect();
    const scale = width / document.querySelector("#shown").width;
    return [[0, 0], [0.5, 0.6], [1, 1]].map(([across, down]) =>
        ({x: left + (x + across * w) * scale, y: top + (y + down * h) * scale}));
})(%s)"""


def draw(call, box, touch=False):
    """Draws a rectangle over the frame, given in the frame's pixels."""
    places = browser.evaluate(call, PLACES % json.dumps(list(map(float, box))))
    if touch:
        for kind, place in zip(("touchStart", "touchMove", "touchMove"), places):
            call("Input.dispatchTouchEvent", type=kind, touchPoints=[place])
        call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        return
    kinds = ("mousePressed", "mouseMoved", "mouseMoved", "mouseReleased")
    for kind, place in zip(kinds, [*places, places[-1]]):
        held = {"button": "left", "buttons": 1, "clickCount": 1}
        call("Input.dispatchMouseEvent", type=kind, **place, **held)


SHOWN_BOX = """(() => {
    const { hidden, style } = document.querySelector("#box");
    const { width, height } = document.querySelector("#shown");
    return !hidden && [style.left, style.top, style.width, style.height].map(
        (each, k) => parseFloat(each) / 100 * (k % 2 ? height : width));
})()"""


def click(call, button):
    browser.evaluate(call, f"document.querySelector('#{button}').click()")


def says(call, text):
    browser.wait_for(call, f"{SAID}.includes({text!r})")


def test_a_video_is_followed_from_mark_to_end(page, video, tmp_path):
    truth, frames = video
    browser.choose(page, "footage", webm(tmp_path / "fig.webm", frames))
    says(page, "Draw a rectangle")
    draw(page, truth[0])
    says(page, "over")
    # The video is slowed down as need be: hardly a frame passes unseen.
    assert browser.evaluate(page, FOLLOWED) > 0.5 * len(frames)
    found = browser.evaluate(page, SHOWN_BOX)
    assert boxes.iou(np.array(found), truth[-1]) > 0.5
    text = browser.evaluate(page, "document.querySelector('#tracker').innerText")
    assert "in sight" in text and "frames/s" in text

    click(page, "again")
    says(page, "Draw a rectangle")
    assert not browser.evaluate(page, SHOWN_BOX)
    draw(page, truth[0], touch=True)
    browser.wait_for(page, f"{FOLLOWED} > 3")
    click(page, "pause")
    says(page, "Paused")
    held = browser.evaluate(page, SHOWN_BOX)
    draw(page, [*truth[0][:2], 1, 1])  # a slip
    says(page, "Paused")
    assert browser.evaluate(page, SHOWN_BOX) == held
    click(page, "pause")
    says(page, "Following")
    says(page, "over")


def test_the_camera_is_followed_until_it_is_stopped(page, video):
    click(page, "camera")
    browser.wait_for(page, "document.querySelector('#camera').textContent == 'Stop'")
    # Earlier footage had that width, too: the first picture shows the canvas.
    shown = "document.querySelector('#shown:not([hidden])')?.width"
    browser.wait_for(page, f"{shown} == 240")
    draw(page, [80, 50, 60, 60])
    browser.wait_for(page, f"{FOLLOWED} > 5")
    click(page, "again")
    browser.wait_for(page, f"{SAID}.includes('Draw') && !{SHOWN_BOX}")
    click(page, "camera")
    browser.wait_for(page, "document.querySelector('#camera').textContent == 'Camera'")
    assert browser.evaluate(page, "document.querySelector('#shown').hidden")


def test_mistakes_are_told_in_plain_words(page, site, tmp_path):
    def told(text, field, *names):
        browser.choose(page, field, *(tmp_path / name for name in names))
        shown = "document.querySelector('#problem:not([hidden])')?.textContent"
        browser.wait_for(page, f"{shown}.includes({text!r})")

    for path in (site / "models").iterdir():
        shutil.copy(path, tmp_path)
    search = ("filter_search.tflite", "filter_search.json")
    both = (*search, "filter_exemplar.tflite", "filter_exemplar.json")
    told("choose filter_exemplar.tflite too", "models", *search)
    told("choose filter_exemplar.json together with it", "models", *both[:3])
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    for name in ("mean", "mean_exemplar", "mean_search"):
        export.tflite(model, tmp_path / f"{name}.tflite")
    told("mean.tflite is no part of a tracker", "models", "mean.tflite", "mean.json")
    renamed = [f"mean{part}.{end}" for part in PARTS for end in ("tflite", "json")]
    told("A classifier runs on the page index.html", "models", *renamed)
    for end in ("tflite", "json"):
        other = tmp_path / f"siamese_search.{end}"
        shutil.copy(other, tmp_path / f"filter_search.{end}")
    told("are of two trackers", "models", *both)
    shutil.copy(site / "models/filter_search.tflite", tmp_path)
    shutil.copy(site / "models/filter_exemplar.tflite", tmp_path)
    described = json.loads((site / "models/filter_search.json").read_text())
    for changed, said in (
        ({"scale_every": 0}, "the setting scale_every is 0, a whole number from 1"),
        ({"scales": [0, 1]}, "the setting scales is [0,1], a list"),
        ({"rate": "fast"}, 'filter_search.json: the setting rate is "fast"'),
        ({"scale_every": None}, "the setting scale_every is null"),
    ):
        edited = json.loads(json.dumps(described))
        edited["tracker"]["settings"].update(changed)
        (tmp_path / "filter_search.json").write_text(json.dumps(edited))
        told(said, "models", *both)
    described["tracker"]["cells"] = 5
    (tmp_path / "filter_search.json").write_text(json.dumps(described))
    told("tell of a map 1x5x5x1", "models", *both)
    (tmp_path / "broken.webm").write_bytes(b"no video")
    told("broken.webm cannot be played", "footage", "broken.webm")
    (tmp_path / "notes.txt").write_text("no video")
    told("neither a video nor a .tflite file", "footage", "notes.txt")


def test_a_network_may_be_called_like_a_part(page, site, tmp_path):
    named = [f"my_search{part}.{end}" for part in PARTS for end in ("tflite", "json")]
    for name in named:
        shutil.copy(
            site / "models" / name.replace("my_search", "filter"), tmp_path / name
        )
    browser.choose(page, "models", *(tmp_path / name for name in named))
    chosen = "document.querySelector('#tracker select').value"
    browser.wait_for(page, f"{chosen} == 'my_search'")


def test_no_camera_and_no_trackers(tmp_path):
    site = site_in(tmp_path / "site", models=False)
    with browser.served(site) as url:
        profile = tmp_path / "profile"
        with browser.opened(url + "track.html", profile) as call:
            assert "no trackers yet" in problem(call)
            permission = {"name": "camera"}
            call("Browser.setPermission", permission=permission, setting="denied")
            click(call, "camera")
            said = "document.querySelector('#problem').textContent"
            browser.wait_for(call, f"{said}.includes('camera')")
        address = url + "track.html?model=lw_dna"
        with browser.opened(address, tmp_path / "other") as call:
            # Both halves are asked for at once.
            either = r"models/lw_dna_(exemplar|search)\.tflite cannot be loaded"
            assert re.search(either, problem(call))


def test_a_trackers_file_is_no_classifier(site, tmp_path):
    with browser.served(site) as url, browser.opened(url, tmp_path) as call:
        assert "runs on the page track.html" in problem(call)
