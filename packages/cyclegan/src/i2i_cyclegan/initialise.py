"""First weights of a network, as the authors draw them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeVar, get_args

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from i2i.errors import SettingsError
from i2i.layers import one_of

Init = Literal["normal", "xavier", "kaiming", "orthogonal", "torch"]
INITS: tuple[str, ...] = get_args(Init)

M = TypeVar("M", bound=nn.Module)

_DRAW: dict[str, Callable[[Tensor, float], object]] = {
    "normal": lambda weight, gain: nn.init.normal_(weight, 0.0, gain),
    "xavier": lambda weight, gain: nn.init.xavier_normal_(weight, gain),
    "kaiming": lambda weight, gain: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),
    "orthogonal": lambda weight, gain: nn.init.orthogonal_(weight, gain),
}


def initialise(net: M, kind: Init = "normal", gain: float = 0.02) -> M:
    """Draw the weights of all convolutions, linear layers and batch norms of ``net`` anew, in place.

    Children come before their parents, in the order of definition, from torch's global generator; biases become 0 and
    batch-norm weights are drawn from N(1, gain). Tensors on the meta device stay as they are and draw nothing.

    Args:
        net: the network.
        kind: ``"normal"``: N(0, gain), the authors' default; ``"xavier"``: normal, times gain; ``"kaiming"``: normal
            for ReLU by the fan-in, gain has no effect; ``"orthogonal"``: times gain; ``"torch"``: leave torch's own.
        gain: the scale, above 0.

    Returns:
        ``net`` itself.

    Raises:
        SettingsError: an unknown kind, or a gain that is no positive number.

    Example:
        >>> initialise(nn.Conv2d(3, 8, 3)).bias.abs().sum().item()
        0.0
    """
    one_of("init", kind, INITS)
    if not (gain > 0 and math.isfinite(gain)):
        raise SettingsError(f"init_gain (={gain}) must be a positive number, for example 0.02")
    if kind == "torch":
        return net
    draw = _DRAW[kind]

    def start(module: nn.Module) -> None:
        if isinstance(module, _ConvNd | nn.Linear):
            draw(module.weight, gain)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
        else:
            return
        if module.bias is not None:
            nn.init.zeros_(module.bias)

    net.apply(start)
    return net
