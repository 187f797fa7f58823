"""A task of two images, made known for the length of this process; then a command.

python -m tests.cli.finding run --model=tests.siamese:siamese …
"""

import dataclasses
import sys
import types

from hh_keras.tasks import registry


def load(args, build, check=True):
    from hh_keras.data import ImageData
    from tests import siamese

    found = siamese.pairs(60, args.batch_size)
    data = ImageData(
        name="pasted",
        epoch=lambda number, first=0: found.train.skip(first),
        class_names=(),
        num_train=60,
        num_validation=60,
        description={},
        skipped={},
        **vars(found),
    )
    return build(args, data.image_shape, None), data


def application(args):
    from hh_keras.tasks.plain import plain
    from tests.siamese import TASK

    return dataclasses.replace(plain(TASK, load))


def main():
    folder = "hh_keras.tasks.finding"
    flags, commands = (types.ModuleType(f"{folder}.{x}") for x in ("flags", "commands"))
    flags.FLAGS = registry.TaskFlags(("find",), "find one image in another")
    commands.prepare, commands.application = lambda args: None, application
    sys.modules |= {flags.__name__: flags, commands.__name__: commands}
    registry.FOLDERS += ("finding",)
    command = sys.argv.pop(1)
    if command == "run":
        from hh_keras.cli.commands.run import entry
    else:
        from hh_keras.cli.commands.export import entry
    return entry()


if __name__ == "__main__":
    sys.exit(main())
