"""Every file is opened, or one line says what to do; none is believed."""

import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras import export, models
from hh_keras.models.sources import from_file
from tests.models.attacks import ATTACKS, honest


def refused(path, action=from_file):
    """The one line with which a file is refused."""
    with pytest.raises(hh.ModelError) as caught:
        action(path)
    text = str(caught.value)
    assert path.name in text and "\n" not in text and len(text) < 600, text
    return text


@pytest.mark.filterwarnings("ignore")  # Keras warns of what it then refuses
@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_attacks_are_refused(name, tmp_path):
    canary = tmp_path / "canary"
    path = ATTACKS[name](tmp_path, canary)
    before = sorted(tmp_path.rglob("*"))
    refused(path)
    refused(path, export.open_model)
    refused(path, lambda p: models.build(str(p), (8, 8, 3)))
    assert sorted(tmp_path.rglob("*")) == before and not canary.exists()


def test_weights_of_attacks_are_refused(tmp_path):
    path = ATTACKS["lambda_layer"](tmp_path, tmp_path / "canary")
    with pytest.raises(hh.ModelError, match="model.keras"):
        models.build("resnet8", (8, 8, 3), 10, weights=str(path))


def test_the_attacked_model_is_good(tmp_path):
    """The attacks are refused for what was put in, not for the rest."""
    model, images = honest(), np.ones((1, 8, 8, 3), "float32")
    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
        found = from_file(tmp_path / name)(images)
        np.testing.assert_allclose(found, model(images), atol=1e-6)


def test_a_folder_of_an_unzipped_file(tmp_path):
    model, images = honest(), np.ones((1, 8, 8, 3), "float32")
    keras.saving.save_model(model, tmp_path / "folder", zipped=False)
    found = models.build(str(tmp_path / "folder"), (8, 8, 3))
    np.testing.assert_allclose(found(images), model(images), atol=1e-6)


def _weights_only(folder):
    honest().save_weights(folder / "m.weights.h5")
    return folder / "m.weights.h5", "--pretrained="


def _old_weights_only(folder):
    with h5py.File(folder / "old.h5", "w") as file:
        file.attrs["layer_names"] = ["conv"]
    return folder / "old.h5", "--pretrained="


def _other_hdf5(folder):
    with h5py.File(folder / "data.h5", "w") as file:
        file["x"] = np.zeros(3)
    return folder / "data.h5", "without a Keras model"


def _exported(folder):
    honest().export(folder / "saved", verbose=False)
    return folder / "saved", "SavedModel folder: it can be evaluated"


def _of_keras_2(folder):
    path, _ = _exported(folder)
    (path / "keras_metadata.pb").write_bytes(b"")
    return path, "tf_keras.models.load_model"


def _empty_folder(folder):
    (folder / "empty").mkdir()
    return folder / "empty", "a folder without a model"


def _cut_short(folder):
    honest().save(folder / "m.keras")
    content = (folder / "m.keras").read_bytes()
    (folder / "m.keras").write_bytes(content[: len(content) // 2])
    return folder / "m.keras", "damaged"


def _cut_short_h5(folder):
    honest().save(folder / "m.h5")
    content = (folder / "m.h5").read_bytes()
    (folder / "m.h5").write_bytes(content[: len(content) // 2])
    return folder / "m.h5", "cannot be loaded"


def _no_weights(folder):
    honest().save(folder / "m.keras")
    with zipfile.ZipFile(folder / "m.keras") as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(folder / "m.keras", "w") as archive:
        archive.writestr("config.json", config)
    return folder / "m.keras", "cannot be loaded"


def _not_a_description(folder):
    with zipfile.ZipFile(folder / "m.keras", "w") as archive:
        archive.writestr("config.json", "[1, 2]")
    return folder / "m.keras", "cannot be loaded"


def _other_archive(folder):
    np.savez(folder / "m.npz", x=np.zeros(3))
    return folder / "m.npz", ".npz file holds arrays only"


def _empty(folder):
    (folder / "m.keras").touch()
    return folder / "m.keras", "damaged"


def _lite(folder):
    return export.tflite(honest(), folder / "m.tflite"), ".tflite file can be run"


def _missing(folder):
    return folder / "nowhere" / "m", "There is no model file"


@pytest.mark.parametrize(
    "make",
    [
        _cut_short,
        _cut_short_h5,
        _empty,
        _empty_folder,
        _exported,
        _lite,
        _missing,
        _no_weights,
        _not_a_description,
        _of_keras_2,
        _old_weights_only,
        _other_archive,
        _other_hdf5,
        _weights_only,
    ],
)
def test_one_line_says_what_to_do(make, tmp_path):
    path, said = make(tmp_path)
    assert said in refused(path)
    text = refused(path, lambda p: models.build(str(p), (8, 8, 3), 10))
    assert said in text and "Unknown model" not in text


def test_names_of_networks_are_no_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet20").mkdir()
    assert models.build("resnet20", (8, 8, 3), 10).count_params() > 0
    (tmp_path / "mine").mkdir()
    with pytest.raises(hh.ModelError, match="mine is a folder without a model"):
        models.build("mine", (8, 8, 3), 10)


def test_keras_is_one_without_known_flaws():
    """Those of setup.cfg; the suite would not see a flaw that is not attacked."""
    version = tuple(int(n) for n in keras.__version__.split(".")[:3])
    assert (3, 12, 4) <= version < (3, 13) or version >= (3, 15, 1)


@pytest.mark.slow
def test_opening_imports_nothing_that_a_file_names(tmp_path):
    path = ATTACKS["imported_class"](tmp_path, tmp_path / "canary")
    code = (
        "import sys; from hh_keras.models.sources import from_file\n"
        f"try: from_file({str(path)!r})\n"
        "except ValueError: print('subproc' in sys.modules)"
    )
    run = [sys.executable, "-c", code]
    assert "False" in subprocess.run(run, capture_output=True, text=True).stdout
