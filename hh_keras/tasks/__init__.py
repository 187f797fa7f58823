"""What networks are for: one folder per task, and a line of `registry.FOLDERS`.

A folder has two modules that the registry opens:

    flags.py     FLAGS, a `hh_keras.tasks.registry.TaskFlags`: names of the task on the
                 command line, flags of its own. It imports no TensorFlow.
    commands.py  `prepare(args)`, which checks and completes flags, and
                 `application(args)`, a `hh_keras.tasks.application.Application`:
                 what the commands do for the task

and, by custom, task.py (loss, measures, goal, defaults), evaluation.py, signature.py.
"""
