"""The folders of tasks keep to what the commands expect of them."""

import pytest
from absl.flags import FlagValues

from hh_keras.cli import flags
from hh_keras.errors import HHError
from hh_keras.tasks import registry
from hh_keras.tasks.application import Application


def parsed(*given):
    args = FlagValues()
    for flag in (*flags.TASK, *flags.DATA, *flags.TRAINING, flags.BATCH_SIZE):
        flag.define(args)
    args(["test", *given])
    return args


@pytest.mark.parametrize("name", registry.names())
def test_every_task_opens(name):
    args = parsed(f"--task={name}")
    registry.prepare(args)
    application = registry.application(args)
    assert isinstance(application, Application) and application.task.name == name
    assert set(application.task.measures) == {application.task.goal.key}
    for flag, value in application.task.defaults.items():
        assert flag not in args or args[flag].value == value


def test_names_and_flags_are_nobody_elses():
    names = [*registry.names(), *(flag.name for flag in registry.flags())]
    assert len(names) == len(set(names))
    assert registry.augmentations()[0] == "none"


@pytest.mark.parametrize(
    "given, message",
    [
        (["--task=classify", "--patch=8"], "--patch means nothing for --task=classify"),
        (
            ["--task=sr", "--image_size=8"],
            "for --task=classify, detect, track and MODULE",
        ),
        (["--task=detect", "--patch=8"], "it is for --task=denoise, sr and segment"),
        (["--task=track", "--mixup=1"], "it is for --task=classify and MODULE:TASK"),
        (["--task=denoise", "--augment=imagenet"], "one of none, flip, flip_rotate"),
    ],
)
def test_flags_of_other_tasks_are_refused(given, message):
    with pytest.raises(HHError, match=message):
        registry.prepare(parsed(*given))


@pytest.mark.parametrize("name", registry.names())
def test_weights_to_start_from_are_for_every_task(name):
    """A flag of all tasks must not be called one task's own."""
    args = parsed(f"--task={name}")
    for flag in flags.MODEL_ARGS:
        flag.define(args)
    args(["test", f"--task={name}", "--pretrained=mine.weights.h5"])
    registry.prepare(args)
    assert args.pretrained == "mine.weights.h5"
