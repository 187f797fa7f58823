"""The command line: thin scripts that turn flags into calls of hh_keras.

Each runs as `python launch/NAME.py` and as `python -m launch.NAME`.
"""
