"""MobileNetV2 on Tiny-ImageNet: 200 classes, 64 pixels.

    python launch/run.py --config=tiny_imagenet --dataset=tiny-imagenet-200/

The folder needs train/CLASS/ and val/CLASS/; as distributed, val/ lists its classes in
a text file instead. Source: the CIFAR protocol of the paper's code (the paper uses
Tiny-ImageNet, but its settings for it are not known to us), with a cosine. Estimated:
0.1 G MACs an image with the backward pass, 1e13 for each of the 600 epochs.
"""

from hh_keras.cli.configs import Config
from hh_keras.training import Recipe

CONFIG = Config(
    recipe=Recipe(
        epochs=300,
        batch_size=128,
        learning_rate=0.1,
        weight_decay=1e-4,
        augment="crop_flip",
    ),
    model="keras.applications.MobileNetV2",
    dataset="tiny-imagenet-200/",
    image_size="64",
    min_keep=("0.4",),
    criterion="gradient",
    search_batches=2,
)
