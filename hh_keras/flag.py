"""One flag as data, and how its text is read.

Nothing here imports TensorFlow: `--help` and a mistyped flag answer at once.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from absl import flags

from hh_keras.errors import HHError
from hh_keras.suggestions import did_you_mean


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag: its name, how its text is read, default, and help."""

    name: str
    parser: Any
    default: Any
    help: str
    repeated: bool = False
    required: bool = False

    def define(self, values: flags.FlagValues) -> None:
        """Adds the flag to an absl `FlagValues`."""
        if isinstance(self.parser, flags.BooleanParser):
            flags.DEFINE_boolean(self.name, self.default, self.help, values)
            return
        text = flags.ArgumentSerializer()
        if self.repeated:
            flags.DEFINE_multi(
                self.parser, text, self.name, self.default, self.help, values
            )
        else:
            flags.DEFINE(self.parser, self.name, self.default, self.help, values, text)


class Checked(flags.ArgumentParser):
    """Reads a flag with a function; other texts get one message."""

    def __init__(
        self, read: Callable[[str], Any], syntax: str, message: str | None = None
    ) -> None:
        self.read, self.syntactic_help, self.message = read, syntax, message

    def parse(self, argument: Any) -> Any:
        if not isinstance(argument, str):
            return argument
        try:
            return self.read(argument)
        except Exception as error:
            raise ValueError(self.message or str(error)) from error


class Choice(flags.ArgumentParser):
    """One of a few names; others get the nearest."""

    others = ""  # what else there is, for the message

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.syntactic_help = names, "|".join(names)

    def parse(self, argument: Any) -> Any:
        if argument in self.names:
            return argument
        hint = did_you_mean(argument, self.names)
        raise ValueError(f"choose one of {', '.join(self.names)}{self.others}.{hint}")


class Choices(Choice):
    """A comma-separated list of names."""

    def parse(self, argument: Any) -> Any:
        if not isinstance(argument, str):
            return argument
        return tuple(super(Choices, self).parse(part) for part in argument.split(","))


class Number(flags.ArgumentParser):
    """A whole number or a float within bounds, both included."""

    def __init__(
        self,
        kind: type,
        least: float | None = None,
        most: float | None = None,
        above: float | None = None,
    ) -> None:
        self.kind, self.least, self.most, self.above = kind, least, most, above
        self.syntactic_help = "N" if kind is int else "X"

    def parse(self, argument: Any) -> Any:
        what = "a whole number" if self.kind is int else "a number"
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (
                ("of at least", self.least),
                ("of at most", self.most),
                ("above", self.above),
            )
            if bound is not None
        ]
        try:
            value = self.kind(argument)
        except (TypeError, ValueError):
            value = float("nan")
        fits = (
            float("-inf") < value < float("inf")
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
        )
        if not fits:
            raise ValueError(" ".join([f"it must be {what}", " and ".join(bounds)]))
        return value


class Text(flags.ArgumentParser):
    """Any text."""

    def __init__(self, syntax: str) -> None:
        self.syntactic_help = syntax


COUNT = Number(int, least=1)
SWITCH = flags.BooleanParser()


def set_defaults(args: flags.FlagValues, values: Mapping[str, Any]) -> None:
    """Sets the flags of parsed `args` that were not given; None leaves them alone.

    Raises:
        HHError: a flag does not take its value.
    """
    for name, value in values.items():
        if name not in args or args[name].present or value is None:
            continue
        flag = args[name]
        try:
            if isinstance(value, (tuple, list)) and isinstance(value[0], str):
                flag.value = [flag.parser.parse(each) for each in value]
            else:
                flag.value = flag.parser.parse(value)
        except (ValueError, TypeError) as error:
            raise HHError(f"the default {value!r} of --{name}: {error}") from error


def named(group: Iterable[Flag], name: str) -> Flag:
    """The flag of that name."""
    return next(flag for flag in group if flag.name == name)


def given(args: flags.FlagValues, name: str, default: Any = None) -> Any:
    """A flag's value, or a default where the command does not have the flag."""
    return getattr(args, name) if name in args else default
