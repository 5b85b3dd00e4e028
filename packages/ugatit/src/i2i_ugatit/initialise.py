"""First weights of a network."""

from __future__ import annotations

from typing import Literal, TypeVar, get_args

from torch import nn

from i2i.layers import one_of

Init = Literal["torch", "normal"]
M = TypeVar("M", bound=nn.Module)


def initialise(net: M, kind: Init) -> M:
    """Leave the weights as torch drew them, or draw those of all convolutions anew, in place.

    Args:
        net: the network.
        kind: ``"torch"``: as they are, as the authors' PyTorch code; ``"normal"``: the weights of convolutions from
            N(0, 0.02), before spectral norm, biases and linear layers as they are, as the article's code.

    Returns:
        ``net`` itself.

    Raises:
        SettingsError: an unknown kind.

    Example:
        >>> bool(initialise(nn.Conv2d(3, 64, 3), "normal").weight.std() < 0.03)
        True
    """
    one_of("init", kind, get_args(Init))
    if kind == "normal":
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
    return net
