"""The README's Python examples run, in order, in one namespace."""

import contextlib
import pathlib
import re
import sys
import types

import keras
import numpy as np
import pytest

import hh_keras

NARROW = {"alpha": 0.35, "classes": 10}
README = pathlib.Path(__file__).parent.parent / "README.md"


@pytest.mark.filterwarnings("ignore")
def test_examples_run(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(15):
        image = np.random.default_rng(number).integers(0, 256, (60, 80, 3), np.uint8)
        keras.utils.save_img(tmp_path / "photos" / f"{number}.png", image)
    whole = keras.applications.MobileNetV2

    def untrained(weights="imagenet", **settings):
        """Weights are not downloaded, but drawn, of a narrower network."""
        settings = {"alpha": 0.75, **settings} if settings else NARROW
        return whole(weights=None, **settings)

    monkeypatch.setattr(keras.applications, "MobileNetV2", untrained)
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "small.keras").exists()
    assert names["small"].count_params() < names["model"].count_params()
    assert (tmp_path / "plan.json").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["getting-started", "from-scratch"])
def test_examples_of_guides_run(name, tmp_path, monkeypatch):
    page = README.parent / "docs" / f"{name}.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)
    macs = [hh_keras.cost(m).macs for m in (names["found"].model, names["model"])]
    assert 0.65 * macs[1] < macs[0] < macs[1]


@pytest.fixture
def trackers(monkeypatch):
    """What the page uses of wandb and mlflow, by the same names: runs, and callbacks.

    Returns a dict: name of a callback to the epochs that it was told of.
    """
    told = {}

    def kind(name):
        def on_epoch_end(self, epoch, logs=None):
            assert {"loss", "val_loss", "val_accuracy"} <= set(logs)
            told.setdefault(name, []).append(epoch)

        made = {"on_epoch_end": on_epoch_end, "__init__": lambda self, run=None: None}
        return type(name, (keras.callbacks.Callback,), made)

    def run(**config):
        return contextlib.nullcontext(config)

    for name, content in {
        "wandb": {"init": run},
        "wandb.integration": {},
        "wandb.integration.keras": {"WandbMetricsLogger": kind("WandbMetricsLogger")},
        "mlflow": {"start_run": run},
        "mlflow.keras": {"MlflowCallback": kind("MlflowCallback")},
    }.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return told


@pytest.mark.filterwarnings("ignore")
def test_the_examples_of_the_training_page_run(tmp_path, monkeypatch, capsys, trackers):
    page = README.parent / "docs" / "training.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S)
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, "training.md", "exec"), {})
    assert 0 <= float(capsys.readouterr().out.splitlines()[-1]) <= 1
    assert (tmp_path / "runs/doc/history/model.csv").exists()
    assert trackers == {"WandbMetricsLogger": [0], "MlflowCallback": [0]}


@pytest.mark.filterwarnings("ignore")
def test_the_example_of_the_page_on_trained_networks_runs(capsys):
    page = README.parent / "docs" / "trained.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S)
    exec(compile(block, "trained.md", "exec"), {})
    macs = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert len(macs) == 3 and macs == sorted(macs, reverse=True)


@pytest.mark.filterwarnings("ignore")
def test_the_page_on_own_layers_says_what_is_printed(tmp_path, monkeypatch, capsys):
    page = (README.parent / "docs" / "own-layers.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    keras.backend.clear_session()  # names as at the start
    names = {}
    for block in blocks:
        exec(compile(block, "own-layers.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 15
    # How many channels are kept depends on the weights that were drawn.
    said = {_without_counts(line) for line in page.splitlines()}
    assert [line for line in lines if _without_counts(line) not in said] == []
    model = names["model"]
    channels = names["channels"]
    scores, budget = np.arange(channels.size), hh_keras.Budget(params=400)
    plan = hh_keras.select_channels(channels, scores, budget)
    x = np.random.rand(2, 32, 32, 3)
    masked, small = hh_keras.mask(model, plan), hh_keras.rebuild(model, plan)
    assert small.get_layer("conv").filters < 16
    np.testing.assert_allclose(masked(x), small(x), rtol=1e-4, atol=1e-5)


def _without_counts(line):
    return re.sub(r"[\d -]+", "", line)


def test_links_lead_somewhere():
    pages = [*README.parent.glob("**/README.md"), *README.parent.glob("docs/*.md")]
    ours = [p for p in pages if not installed(p.relative_to(README.parent))]
    assert len(ours) > 20
    for page in ours:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page}: {link}"


def installed(page):
    """Whether a page is of a package that was installed into the clone."""
    return any(part.startswith(".") or part == "node_modules" for part in page.parts)


@pytest.mark.filterwarnings("ignore")
def test_the_page_for_plain_keras_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks_of("plain-keras.md"):
        exec(compile(block, "plain-keras.md", "exec"), names)
    kept, of = capsys.readouterr().out.split(" of ")
    assert 0 < int(kept) < int(of) == 32
    assert names["history"].history["val_accuracy"]
    distilled = keras.models.load_model(tmp_path / "distilled.keras")
    assert distilled.count_params() == names["small"].count_params()


@pytest.mark.filterwarnings("ignore")
def test_the_page_on_own_tasks_runs(tmp_path, monkeypatch, capsys):
    compiled, module, parts = blocks_of("own-task.md")
    assert len(module.splitlines()) <= 42
    monkeypatch.chdir(tmp_path)
    names = {"hh_keras": hh_keras}
    exec(compile(module, "two_answers_task.py", "exec"), names)
    train, validation = names["data"](64, 0)
    names["data"] = types.SimpleNamespace(train=train, validation=validation)
    names["model"] = names["build"]()
    macs = hh_keras.cost(names["model"]).macs
    names["budget"] = hh_keras.Budget(macs=0.8 * macs)
    exec(compile(compiled, "own-task.md", "exec"), names)
    accuracy, loss = map(float, capsys.readouterr().out.splitlines()[-1].split())
    assert 0 <= accuracy <= 1 and loss > 0
    first = next(x for x in names["model"].layers if hasattr(x, "kernel"))
    exec(compile(parts.replace("conv2d", first.name), "own-task.md", "exec"), names)
    assert len(eval(capsys.readouterr().out)) == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("place, package", [(0, "kyolo"), (1, "keras_hub")])
def test_the_page_for_other_detectors_runs(place, package, tmp_path, monkeypatch):
    """Smaller detectors learn in their packages' loops."""
    pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).uniform(0, 1, (2, 64, 64, 3)).astype("float32")
    boxes = np.tile(np.array([8, 8, 40, 40], "float32"), (2, 1, 1))
    names = {"images": images, "boxes": boxes, "labels": np.zeros((2, 1), "int32")}
    block = blocks_of("other-detectors.md")[place]
    exec(compile(block, "other-detectors.md", "exec"), names)
    small, large = names["found"].model, names.get("large", names.get("model"))
    macs = [each.macs for each in map(hh_keras.cost, (small, large))]
    assert macs[0] <= 0.7 * macs[1]
    shapes = [[x.shape for x in each.outputs] for each in (small, large)]
    assert shapes[0] == shapes[1] and list(tmp_path.glob("small_*.keras"))
    untrained = hh_keras.rebuild(large, names["found"].plan).get_weights()
    pairs = zip(small.get_weights(), untrained, strict=True)
    assert any((a != b).any() for a, b in pairs)


def blocks_of(page):
    text = (README.parent / "docs" / page).read_text("utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.S)
