"""ResNet-20 on the embedded images of clothes, three epochs: does all of it work?

    python launch/run.py --config=quick

Source: settings of our own. Measured: two to nine minutes on two cores.
"""

from hh_keras.cli.configs import Config
from hh_keras.training import Recipe

CONFIG = Config(recipe=Recipe(), model="resnet20", dataset="embedded")
