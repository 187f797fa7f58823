"""The networks of the study, small enough to be trained in a minute or two."""

from hh_keras import models

NETWORKS = {
    "vgg11_eighth": ("vgg11_small", {"widths": (8, 16, 32, 64, 64)}),
    "vgg11_quarter": ("vgg11_small", {"widths": (16, 32, 64, 128, 128)}),
    "resnet8_half": ("resnet8", {"widths": (8, 16, 32)}),
    "resnet8": ("resnet8", {}),
    "resnet20_half": ("resnet20", {"widths": (8, 16, 32)}),
    "mobilenetv1_eighth": ("mobilenetv1", {"width": 0.125}),
    "mobilenetv2_quarter": ("mobilenetv2_small", {"width": 0.25}),
    "resnet20": ("resnet20", {}),
    "mobilenetv1_quarter": ("mobilenetv1", {"width": 0.25}),
    "mobilenetv3_half": ("mobilenetv3_small", {"width": 0.5}),
    "densenet22": ("densenet40", {"growth": 6, "depth": 22}),
}


def build(name, image_shape, num_classes):
    """Builds a network of `NETWORKS`."""
    spec, arguments = NETWORKS[name]
    return models.build(spec, image_shape, num_classes, model_args=arguments)
