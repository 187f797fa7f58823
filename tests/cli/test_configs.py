"""Every file in hh_keras/cli/configs runs, and flags win over it."""

import json
import pathlib

import pytest

from hh_keras.cli import configs, flags
from hh_keras.cli.commands import train
from hh_keras.cli.configs import cifar10, imagenet
from hh_keras.training import Recipe

FILES = sorted(
    path.stem
    for path in pathlib.Path(configs.__file__).parent.glob("*.py")
    if path.stem != "__init__"
)


def test_all_files_can_be_asked_for():
    assert FILES == sorted(flags.CONFIGS)


@pytest.mark.parametrize("name", FILES)
def test_two_steps_of_it(name, tmp_path):
    out = tmp_path / "run"
    command = [f"--config={name}", "--smoke", f"--workdir={out}"]
    assert train.entry(command) == 0
    row = json.loads((out / "history/model.jsonl").read_text())
    assert row["epoch"] == 1
    config = json.loads((out / "run.json").read_text())
    assert config["config"]["config"] == name and config["config"]["limit"] == 8
    assert config["versions"]["tensorflow"] and "commit" in config
    text = pathlib.Path(configs.__file__).with_name(f"{name}.py").read_text()
    assert "Source:" in text and f"--config={name}" in text
    assert "Measured:" in text or "Estimated:" in text


def test_the_protocols_are_those_of_the_paper():
    recipe = imagenet.CONFIG.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (150, 256, 0.1)
    assert (recipe.schedule, recipe.weight_decay, recipe.momentum) == (
        "cosine", 1e-4, 0.9
    )  # fmt: skip
    assert imagenet.CONFIG.min_keep == ("0.4", "conv5_*=0.45")
    assert (cifar10.CONFIG.recipe.epochs, cifar10.CONFIG.recipe.schedule) == (
        300,
        "step",
    )


def test_flags_win_over_the_file(tmp_path, capsys):
    out = tmp_path / "run"
    command = ["--config=cifar10", "--smoke", "--weight_decay=0.25", "--epochs=2"]
    assert train.entry([*command, "--augment=none", f"--workdir={out}"]) == 0
    config = json.loads((out / "run.json").read_text())["config"]
    assert (config["weight_decay"], config["epochs"], config["augment"]) == (
        0.25, 2, "none"
    )  # fmt: skip
    assert config["schedule"] == "step"
    assert train.entry(["--config=cifar", f"--workdir={out}"]) == 2
    assert "Did you mean cifar10?" in capsys.readouterr().err


def test_every_field_of_a_recipe_is_a_flag():
    names = {
        flag.name for flag in (*flags.TRAINING, *flags.RECOVERY, *flags.DISTILLATION)
    }
    names |= {"batch_size", "seed", "minutes"}  # --recover
    assert set(Recipe.__dataclass_fields__) <= names
    plain = Recipe()
    for flag in flags.TRAINING:
        # Of short trainings, which commands are for first of all, a part warms up.
        default = 0.5 if flag.name == "warmup_epochs" else getattr(plain, flag.name)
        assert default == flag.default, flag.name
