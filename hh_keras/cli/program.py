"""What all commands share: flags in, one clear message out.

    entry = program.make(__doc__, groups, main)

`entry(argv)` parses the flags, calls `main(args)` and returns the exit status: 0, 2
for bad input (one line on the standard error, no traceback unless --debug), 75 when
SIGTERM stopped a training that can go on, 130 when interrupted, 143 when SIGTERM
came elsewhere, 141 when whoever read the output closed it, 1 for an error that
nobody expected.
"""

import atexit
import contextlib
import os
import signal
import sys
import tempfile
import textwrap
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence

from absl import flags

from hh_keras.cli import extras
from hh_keras.cli.flags import DEBUG, IMPORT
from hh_keras.cli.naming import as_started
from hh_keras.flag import Flag, given


def make(
    doc: str, groups: Mapping[str, Sequence[Flag]], main: Callable
) -> Callable[..., int]:
    """Makes the entry point of a command.

    Args:
        doc: the command's docstring, shown by --help.
        groups: dict of title to a sequence of `hh_keras.flag.Flag`.
        main: function of the parsed flags.

    Returns:
        `entry(argv=None)`, which returns the exit status.
    """
    groups = {**groups, "Other": (*groups.get("Other", ()), IMPORT, DEBUG)}

    def entry(argv=None):
        if argv is not None:
            return started(list(argv))
        status = [1]
        atexit.register(_leave, status)
        status[0] = started(sys.argv[1:])
        return status[0]

    def started(argv):
        if any(arg in ("-h", "-help", "--help", "--helpfull") for arg in argv):
            return _help(doc, groups)
        args = flags.FlagValues()
        for flag in (flag for group in groups.values() for flag in group):
            flag.define(args)
        try:
            rest = args(["launch", *argv])[1:]
            if rest:
                raise flags.Error(
                    f"unexpected argument {rest[0]!r}: flags are written --name=value"
                )
            for flag in (flag for group in groups.values() for flag in group):
                if flag.required and args[flag.name].value is None:
                    raise flags.Error(f"--{flag.name} is missing: {flag.help}")
            extras.check(args)
        except flags.Error as error:
            return _fail(f"{error} (--help lists all flags)")
        return guarded(main, args)

    return entry


def guarded(main: Callable, args: flags.FlagValues) -> int:
    """Calls `main(args)`; returns an exit status instead of raising."""
    try:
        _start_quietly(args.debug)
        with _short_warnings(args.debug), _terminable():
            if "config" in args:
                from hh_keras.cli import configs

                configs.complete(args)
            _import(args["import"].value or ())
            with _classes_closed(not given(args, "inline", True)):
                main(args)
        return 0
    except _Terminated:
        print("terminated; what was finished is kept.", file=sys.stderr)
        return 143
    except KeyboardInterrupt:
        print("\ninterrupted; what was finished is kept.", file=sys.stderr)
        return 130
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _output_is_closed():
            print("the output was closed; what was finished is kept.", file=sys.stderr)
            return 141
        if args.debug:
            traceback.print_exc()
        error = _told_by_data(error)
        if _is_expected(error):
            return _fail(error, status=75 if type(error).__name__ == "Stopped" else 2)
        hint = "" if args.debug else " (not expected; --debug shows where)"
        return _fail(f"{type(error).__name__}: {error}{hint}", status=1)


def _leave(status):
    """Ends the process, last of all that is done at exit.

    TensorFlow would wait for its threads, and these, if they are about to call a Python
    function of a user's data, for an interpreter that is gone: for ever.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status[0])


def _help(doc, groups):
    """Shows the flags, to a reader such as `head`, who may have seen enough, too."""
    try:
        print(as_started(help_text(doc, groups)), flush=True)
    except BrokenPipeError:
        _output_is_closed()
    return 0


def _output_is_closed():
    """Whether nobody reads the standard output; what is written then goes nowhere."""
    try:
        print(flush=True)  # a further line: what failed before may be forgotten
        return False
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True


class _Terminated(BaseException):
    """SIGTERM came."""


@contextlib.contextmanager
def _terminable():
    """Has SIGTERM end this block as Ctrl-C does: with a word, files whole or not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_):
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _classes_closed(yes):
    from hh_keras.graph.closed import all_closed

    return all_closed(yes)


def _import(names):
    """Imports a user's own modules: what they register is known from here on."""
    if names:
        import hh_keras.surgery.scales  # noqa: F401  the package's own rules come first
        from hh_keras.models.sources import import_module

        for name in names:
            import_module(name, f"--import={name}")


def _told_by_data(error):
    """What stopped a data pipeline, of an error that TensorFlow raised for it."""
    if "tensorflow" not in sys.modules:  # its import is what failed
        return error
    from hh_keras.data import as_data_error

    return as_data_error(error) or error


def _is_expected(error):
    """Whether it is an HHError; asked by name, as the import may be what failed."""
    return any(kind.__name__ == "HHError" for kind in type(error).__mro__)


def _fail(message, status=2):
    text = as_started(" ".join(str(message).split()))
    print(f"error: {text}", file=sys.stderr)
    return status


def _start_quietly(debug):
    """Imports TensorFlow without its start-up messages."""
    if debug:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _stderr_held_back():
        import tensorflow as tf
    from absl import logging

    logging.set_verbosity(logging.ERROR)
    tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def _stderr_held_back():
    """Keeps what C++ code prints off the screen, unless an error follows it."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        screen = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(screen, held.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)


@contextlib.contextmanager
def _short_warnings(debug):
    """Shows this package's warnings on one line each, and nobody else's."""
    if debug:
        yield
        return
    seen = set()

    def show(message, category, filename, *_):
        text = " ".join(str(message).split())
        ours = f"{os.sep}hh_keras{os.sep}" in filename
        if ours and issubclass(category, UserWarning) and text not in seen:
            seen.add(text)
            print(f"warning: {as_started(text)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show
        yield


def help_text(doc: str, groups: Mapping[str, Sequence[Flag]]) -> str:
    """Formats --help: the docstring, then the flags by group."""
    parts = [textwrap.dedent(doc).strip()]
    for title, group in groups.items():
        parts.append(f"{title}:\n" + "\n".join(_flag_help(flag) for flag in group))
    return "\n\n".join(parts)


def _flag_help(flag):
    default = flag.default[0] if isinstance(flag.default, list) else flag.default
    if isinstance(default, tuple):
        default = ",".join(default)
    syntax = flag.parser.syntactic_help
    head = f"  --{flag.name}={syntax}"
    if isinstance(flag.parser, flags.BooleanParser):
        head, default = f"  --[no]{flag.name}", "yes" if default else "no"
    text = flag.help + (f" (default: {default})" if default is not None else "")
    indent = " " * 6
    lines = textwrap.fill(text, 84, initial_indent=indent, subsequent_indent=indent)
    return f"{head}\n{lines}"
