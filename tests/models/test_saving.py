"""What is accepted loads back in another process as it was; the refused does not."""

import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import hh_keras as hh
from hh_keras.models.saving import check_can_be_saved
from tests.models import user_models
from tests.models.user_models import BAD, GOOD

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras warns of lambdas


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_can_be_saved_is_accepted(name):
    check_can_be_saved(GOOD[name]())


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_cannot_be_read_back_is_refused(name):
    model = BAD[name]()
    names = [layer.name for layer in model._flatten_layers()]
    with pytest.raises(hh.ModelError) as caught:
        check_can_be_saved(model)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 500, text
    if "part" in names or "inner" in names:
        assert "'part'" in text
    assert any(
        remedy in text for remedy in ("register_keras", "get_config", "plain", "top")
    )


@pytest.mark.slow
def test_both_are_true_in_another_process(tmp_path):
    """Files are read with the user's module imported, and outputs compared."""
    draw, expected = np.random.default_rng(0), {}
    for verdict, built in (("good", GOOD), ("bad", BAD)):
        for name, build in built.items():
            model = build()
            path = tmp_path / f"{verdict}-{name}.keras"
            x = draw.normal(size=(3, *model.inputs[0].shape[1:])).astype("float32")
            np.save(path.with_suffix(".x.npy"), x)
            np.save(path.with_suffix(".y.npy"), np.asarray(model(x), "float32"))
            try:
                model.save(path)
            except Exception:  # not even written
                assert verdict == "bad"
            expected[path.stem] = verdict
    code = (
        "import pathlib, numpy as np\n"
        "from tests.models import user_models\n"
        "from hh_keras.models.sources import from_file\n"
        f"for path in sorted(pathlib.Path({str(tmp_path)!r}).glob('*.keras')):\n"
        "    x, y = (np.load(path.with_suffix(f'.{k}.npy')) for k in 'xy')\n"
        "    try: found = np.asarray(from_file(path)(x), 'float32')\n"
        "    except Exception: continue\n"
        "    print('LOADS', path.stem, np.abs(found - y).max() == 0)\n"
    )
    run = [sys.executable, "-W", "ignore", "-c", code]
    said = subprocess.run(run, capture_output=True, text=True).stdout.splitlines()
    loads = {line.split()[1] for line in said if line.endswith("True")}
    assert loads == {stem for stem, verdict in expected.items() if verdict == "good"}


def test_it_is_cheap():
    model = keras.applications.ResNet50(weights=None)
    started = time.perf_counter()
    check_can_be_saved(model)
    assert time.perf_counter() - started < 3  # 0.3 s on an idle machine


def test_the_model_is_left_alone():
    model = user_models.GOOD["nested"]()
    before = [w.copy() for w in model.get_weights()]
    check_can_be_saved(model)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
