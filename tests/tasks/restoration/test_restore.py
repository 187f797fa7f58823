"""Photographs in, restored photographs out, whatever kind they are."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from hh_keras.cli.commands.restore import entry
from hh_keras.data.pixels import read_image, write_png
from hh_keras.errors import DataError
from hh_keras.export import tflite
from hh_keras.models import denoising


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network that leaves images as they are, nearly."""
    keras.utils.set_random_seed(0)
    model = denoising.dncnn_s((None, None, 3), depth=3, width=4)
    model.layers[-3].kernel.assign(model.layers[-3].kernel * 1e-4)
    folder = tmp_path_factory.mktemp("network")
    model.save(folder / "model.keras")
    tflite(model, folder / "model.tflite", (24, 24, 3))
    return folder / "model.keras"


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    kinds = {
        "grey": ((30, 41), "uint8"),
        "deep": ((30, 41), "uint16"),
        "deep_colour": ((30, 41, 3), "uint16"),
        "deep_clear": ((30, 41, 4), "uint16"),
        "clear": ((30, 41, 4), "uint8"),
        "grey_clear": ((30, 41, 2), "uint8"),
        "colour": ((30, 41, 3), "uint8"),
    }
    made = {}
    for name, (shape, dtype) in kinds.items():
        most = np.iinfo(dtype).max + 1
        made[name] = rng.integers(0, most, shape).astype(dtype)
        write_png(tmp_path / f"{name}.png", made[name])
    return made


def test_files_keep_all_they_hold(tmp_path, images):
    for name, image in images.items():
        found = read_image(tmp_path / f"{name}.png")
        assert found.dtype == image.dtype
        np.testing.assert_array_equal(found, image)


def test_other_files(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    picture = Image.fromarray(rgb)
    picture.convert("P").save(tmp_path / "palette.gif")
    assert read_image(tmp_path / "palette.gif").shape == (8, 9, 3)
    picture.convert("CMYK").save(tmp_path / "print.jpg")
    assert read_image(tmp_path / "print.jpg").shape == (8, 9, 3)
    turned = Image.Exif()
    turned[0x0112] = 6  # a camera held upright
    picture.save(tmp_path / "upright.jpg", exif=turned)
    assert read_image(tmp_path / "upright.jpg").shape == (9, 8, 3)
    deep = np.arange(72, dtype="uint16").reshape(8, 9) * 900
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.tif"), deep)
    content = tf.io.encode_png(deep[..., None]).numpy()
    for name, bad in (("cut.png", content[:60]), ("no.png", b""), ("x.jpg", b"text")):
        (tmp_path / name).write_bytes(bad)
        with pytest.raises(DataError, match=f"{name} is not a readable image"):
            read_image(tmp_path / name)


def test_a_folder_of_all_kinds(tmp_path, images, network, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    assert entry([f"--model={network}", f"--images={tmp_path}", "--tile=24"]) == 0
    told = capsys.readouterr().out
    assert "1 of 8 images were skipped" in told and "broken.jpg is not" in told
    for name, image in images.items():
        found = read_image(tmp_path / f"{name}_restored.png")
        assert (found.shape, found.dtype) == (image.shape, image.dtype)
        step = 1 if image.dtype == np.uint8 else 257
        assert np.abs(found.astype(int) - image).max() <= 2 * step
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.png"), image)
    # Results are no images to restore, and are not written over.
    assert entry([f"--model={network}", f"--images={tmp_path}"]) == 2
    told = capsys.readouterr()
    assert "8 of 8 images were skipped" in told.out and "--overwrite" in told.out
    assert "not a single image" in told.err


def test_a_lite_file_with_tiles_of_its_own(tmp_path, images, network, capsys):
    image = tmp_path / "colour.png"
    flags = [f"--model={network.with_suffix('.tflite')}", f"--images={image}"]
    output = f"--output={tmp_path / 'there'}"
    assert entry([*flags, output]) == 0  # the .json beside it tells the overlap
    found = read_image(tmp_path / "there" / "colour_restored.png")
    model = keras.models.load_model(network, compile=False)
    expected = np.asarray(model(images["colour"][None].astype("float32")))[0]
    assert np.abs(found - np.clip(np.rint(expected), 0, 255)).max() <= 1
    assert entry([*flags, "--tile=32"]) == 2
    assert "takes tiles of 24" in capsys.readouterr().err
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(network.with_suffix(".tflite").read_bytes())
    flags[0] = f"--model={alone}"
    assert entry(flags) == 2
    assert "give --overlap" in capsys.readouterr().err
    assert entry([*flags, "--overlap=3"]) == 0


def test_results_of_equal_names_do_not_meet(tmp_path, network):
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    for name in ("same.png", "same.bmp", "more/same.png"):
        Image.fromarray(image).save(folder / name)
    output = tmp_path / "out"
    flags = [f"--model={network}", f"--images={folder}, {folder / 'same.png'}"]
    assert entry([*flags, f"--output={output}"]) == 0
    made = sorted(str(x.relative_to(output)) for x in output.rglob("*.png"))
    assert made == [
        "more/same_restored.png", "same.bmp_restored.png", "same.png_restored.png",
    ]  # fmt: skip


def test_wrong_flags_get_one_message(tmp_path, images, network, capsys):
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]).save(
        tmp_path / "classifier.keras"
    )
    (tmp_path / "empty").mkdir()
    for flags, told in (
        ([f"--model={network}", "--images=nowhere.png"], "no file or folder"),
        ([f"--model={network}", f"--images={tmp_path / 'empty'}"], "holds no image"),
        ([f"--model={tmp_path / 'no.keras'}", f"--images={tmp_path}"], "no.keras"),
        (
            [f"--model={tmp_path / 'classifier.keras'}", f"--images={tmp_path}"],
            "no network from one image",
        ),
        (
            [f"--model={network}", f"--images={tmp_path / 'grey.png'}", "--scale=2"],
            "enlarges by 1",
        ),
        (
            [
                f"--model={network}",
                f"--images={tmp_path / 'grey.png'}",
                "--tile=4",
                "--overlap=2",
            ],
            "too small",
        ),
        ([f"--model={network}"], "--images is missing"),
    ):
        assert entry(flags) == 2
        error = capsys.readouterr().err
        assert told in error and error.strip().count("\n") == 0, error
