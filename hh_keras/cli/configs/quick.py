"""A quarter of MobileNetV2 on the embedded images of clothes: does all of it work?

    python launch/run.py --config=quick

Source: settings of our own. Measured: 3:40 on two cores without other work.
"""

from hh_keras.cli.configs import Config
from hh_keras.training import Recipe

CONFIG = Config(
    recipe=Recipe(warmup_epochs=0.5),
    model="mobilenetv2_tiny",
    dataset="embedded",
    macs="0.8x",
)
