"""Flags: what --task=classify means for the others."""

from hh_keras.tasks.registry import TaskFlags

FLAGS = TaskFlags(
    names=("classify",),
    about="classify images",
    augmentations=("none", "crop_flip", "flip", "imagenet"),
    own=("image_size", "view", "rand_augment", "mixup", "cutmix", "label_smoothing"),
)
