"""Backbones of keras-cv at their usual sizes, from their base classes: no download."""

_RESNET50 = {
    "stackwise_filters": [64, 128, 256, 512],
    "stackwise_blocks": [3, 4, 6, 3],
    "stackwise_strides": [1, 2, 2, 2],
}
_EFFICIENTNET_B0 = {
    "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
    "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
    "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
    "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
    "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
}
CONFIGS = {
    "ResNetBackbone": _RESNET50,
    "ResNetV2Backbone": _RESNET50,
    "DenseNetBackbone": {"stackwise_num_repeats": [6, 12, 24, 16]},
    "MobileNetV3Backbone": {
        "stackwise_expansion": [1, 72 / 16, 88 / 24, 4, 6, 6, 3, 3, 6, 6, 6],
        "stackwise_filters": [16, 24, 24, 40, 40, 40, 48, 48, 96, 96, 96],
        "stackwise_kernel_size": [3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5],
        "stackwise_stride": [2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1],
        "stackwise_se_ratio": [0.25, None, None, *[0.25] * 8],
        "stackwise_activation": [*["relu"] * 3, *["hard_swish"] * 8],
    },
    "EfficientNetV1Backbone": {
        **_EFFICIENTNET_B0,
        "stackwise_squeeze_and_excite_ratios": [0.25] * 7,
    },
    "EfficientNetLiteBackbone": _EFFICIENTNET_B0,
    "EfficientNetV2Backbone": {
        "stackwise_kernel_sizes": [3] * 6,
        "stackwise_num_repeats": [2, 4, 4, 6, 9, 15],
        "stackwise_input_filters": [24, 24, 48, 64, 128, 160],
        "stackwise_output_filters": [24, 48, 64, 128, 160, 256],
        "stackwise_expansion_ratios": [1, 4, 4, 4, 6, 6],
        "stackwise_squeeze_and_excite_ratios": [0.0, 0.0, 0, 0.25, 0.25, 0.25],
        "stackwise_strides": [1, 2, 2, 2, 1, 2],
        "stackwise_conv_types": [*["fused"] * 3, *["unfused"] * 3],
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
    },
    "VGG16Backbone": {"include_top": False},
    "YOLOV8Backbone": {
        "stackwise_channels": [128, 256, 512, 1024],
        "stackwise_depth": [3, 9, 9, 3],
    },
}


def build(name, size):
    """Makes a backbone for RGB images of `size` pixels."""
    from keras_cv import models

    shape = {"input_shape": (size, size, 3), "include_rescaling": False}
    return getattr(models, name)(**CONFIGS[name], **shape)
