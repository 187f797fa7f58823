"""The paper's ImageNet protocol for ResNet-50: 150 epochs, cosine, batch 256.

    python launch/run.py --config=imagenet --strategy=mirrored --workdir=runs/imagenet
    python launch/evaluate.py --model=runs/imagenet/lw_dna.keras \
        --dataset=tfds:imagenet2012 --view=center

Source: the code released with the paper (Li et al., arXiv:2006.16242): SGD with
momentum 0.9, learning rate 0.1 for 256 images, decay 1e-4, RandomResizedCrop and flip;
tested on 256 pixels, centre 224. Widened twice, then 0.23 of its MACs (0.92 of the
original's), two batches, 0.4 of every group and 0.45 of the last stage. Estimated: 12.3
G MACs an image with the backward pass, 2.4e18 for each network, days on several GPUs.
"""

from hh_keras.cli.configs import Config
from hh_keras.training import Recipe

CONFIG = Config(
    recipe=Recipe(
        epochs=150,
        batch_size=256,
        learning_rate=0.1,
        lr_batch_size=256,
        weight_decay=1e-4,
        augment="imagenet",
    ),
    model="keras.applications.ResNet50",
    dataset="tfds:imagenet2012",
    image_size="224",
    macs="0.92x",
    min_keep=("0.4", "conv5_*=0.45"),
    criterion="gradient",
    search_batches=2,
)
