"""What networks are for: one folder per task, and a line of `registry.FOLDERS`.

A folder has two modules that the registry opens:

    flags.py     FLAGS, a `hh_keras.tasks.registry.TaskFlags`: names of the task on the
                 command line, flags of its own. It imports no TensorFlow.
    commands.py  `prepare(args)`, which checks and completes flags, and
                 `application(args)`, a `hh_keras.tasks.application.Application`:
                 what the commands do for the task

and, by custom, task.py (loss, measures, goal, defaults), evaluation.py, signature.py.
`from_compiled` makes a task of what a model was compiled with.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "from_compiled":  # TensorFlow is loaded when it is asked for
        from hh_keras.tasks.own.compiled import from_compiled

        return from_compiled
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
