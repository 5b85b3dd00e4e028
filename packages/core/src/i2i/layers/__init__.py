"""What the networks of several plugins share: norms, checks of arguments and images, recomputed and resized layers."""

from i2i.layers.checks import at_least, check_image, check_no_condition, one_of
from i2i.layers.fused import Fused
from i2i.layers.norm import NORMS, ImageNorm, Norm, norm_layer
from i2i.layers.recompute import Recomputed, recomputed, sequence
from i2i.layers.resized import ResizedConv2d

__all__ = [
    "NORMS",
    "Fused",
    "ImageNorm",
    "Norm",
    "Recomputed",
    "ResizedConv2d",
    "at_least",
    "check_image",
    "check_no_condition",
    "norm_layer",
    "one_of",
    "recomputed",
    "sequence",
]
