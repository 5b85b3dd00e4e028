"""What the networks of several plugins share: norms by name, checks of arguments and images, recomputed layers."""

from i2i.layers.checks import at_least, check_image, one_of
from i2i.layers.norm import NORMS, Norm, norm_layer
from i2i.layers.recompute import Recomputed, sequence

__all__ = ["NORMS", "Norm", "Recomputed", "at_least", "check_image", "norm_layer", "one_of", "sequence"]
