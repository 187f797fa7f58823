"""Commands without a process of their own: TensorFlow is there already."""

import contextlib
import gc
import importlib
import io
import types


def run(command, *flags):
    """Calls a command's entry; returns what `subprocess.run` would of its script."""
    gc.collect()  # the lock of a work directory goes with the run that holds it
    module = importlib.import_module(f"hh_keras.cli.commands.{command}")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = module.entry([str(flag) for flag in flags])
    return types.SimpleNamespace(
        returncode=status, stdout=out.getvalue(), stderr=err.getvalue()
    )
