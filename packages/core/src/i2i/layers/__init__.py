"""What the networks of several plugins share: norms by name, and checks of arguments and images."""

from i2i.layers.checks import at_least, check_image, one_of
from i2i.layers.norm import NORMS, Norm, norm_layer

__all__ = ["NORMS", "Norm", "at_least", "check_image", "norm_layer", "one_of"]
