"""A script per command, for a clone: each runs as `python launch/NAME.py`.

What they do is in `hh_keras.cli.commands`.
"""
