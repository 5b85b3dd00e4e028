"""Attention for networks that were built without: a `CamHead` behind one of their layers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from i2i.errors import CompositionError, SettingsError
from i2i.parts import Example, part
from i2i.pixels import PixelFormat
from i2i.values import Translation, Verdict
from i2i_ugatit.cam import Attended, CamHead
from i2i_ugatit.discriminators import cam_discriminator
from i2i_ugatit.generators import cam_generator
from i2i_ugatit.terms import HEATMAP, LOGITS

_KEPT = ("in_channels", "out_channels", "multiple", "smallest", "reach", "size")


class AttendedLayer(nn.Module):
    """A layer and the attention behind it; what that sees is noted while ``noted`` is a list."""

    def __init__(self, layer: nn.Module, cam: CamHead) -> None:
        super().__init__()
        self.layer, self.cam = layer, cam
        self.noted: list[Attended] | None = None

    def forward(self, *given: Tensor) -> Tensor:
        """Return the attended features ``(b, c, h, w)`` of what the layer makes."""
        attended: Attended = self.cam(self.layer(*given))
        if self.noted is not None:  # not while the layer is computed again for the backward pass
            self.noted.append(attended)
        return attended.features


class AttendedNet(nn.Module):
    """A network with attention behind some of its layers, and what it sees among its extras.

    Sizes and channels that it accepts are those of the network itself.
    """

    reads: PixelFormat
    writes: PixelFormat

    def __init__(self, net: nn.Module, at: Sequence[str], heads: Sequence[CamHead]) -> None:
        super().__init__()
        self.net, self.at = copy.deepcopy(net), tuple(at)
        for name, head in zip(at, heads, strict=True):
            self.net.set_submodule(name, AttendedLayer(_layer(self.net, name), head))
        for name in _KEPT:
            if hasattr(net, name):
                setattr(self, name, getattr(net, name))

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation | Verdict:
        """Return what the network returns, with the extras ``cam_logits`` and ``heatmap``.

        Raises:
            CompositionError: the network is neither generator nor discriminator, or its judges are more or fewer than
                the layers that are attended to.
        """
        layers: list[Any] = [self.net.get_submodule(name) for name in self.at]
        for layer in layers:
            layer.noted = []
        try:
            value = self.net(image) if condition is None else self.net(image, condition)
            return _with_extras(value, [layer.noted for layer in layers])
        finally:
            for layer in layers:
                layer.noted = None


@part(
    example=Example(
        {"net": cam_generator(base_width=2, blocks=1), "at": "encoder.12", "channels": 8}, ((1, 3, 16, 16),)
    )
)
def attended_generator(net: nn.Module, *, at: str, channels: int) -> AttendedNet:
    """Give a generator the attention of U-GAT-IT behind one of its layers.

    Args:
        net: a generator; it is copied.
        at: the layer, by the name that ``net.named_modules()`` gives it; it makes ``(b, channels, h, w)``.
        channels: that the layer makes.

    Returns:
        A generator whose Translation has the extras ``cam_logits (b, 2)`` and ``heatmap (b, 1, h, w)``: train the
        logits by `i2i_ugatit.cam_loss`.

    Raises:
        SettingsError: there is no such layer, or no positive number of channels.

    Example:
        >>> import torch
        >>> from i2i_ugatit import cam_generator
        >>> net = attended_generator(cam_generator(base_width=2, blocks=1), at="encoder.12", channels=8)
        >>> net(torch.zeros(1, 3, 16, 16)).extras["heatmap"].shape
        torch.Size([1, 1, 4, 4])
    """
    return AttendedNet(net, [at], [CamHead(channels)])


@part(
    example=Example(
        {"net": cam_discriminator(base_width=2, layers=(4,)), "at": ("scales.0.layers.5",), "channels": (4,)},
        ((1, 3, 16, 16),),
    )
)
def attended_discriminator(net: nn.Module, *, at: tuple[str, ...], channels: tuple[int, ...]) -> AttendedNet:
    """Give a discriminator the attention of U-GAT-IT behind a layer of each of its scales.

    Args:
        net: a discriminator; it is copied.
        at: a layer for each scale, in the order of the logits, by the name that ``net.named_modules()`` gives it.
        channels: that these layers make.

    Returns:
        A discriminator whose Verdict has the extras ``cam_logits (b, 2)`` and ``heatmap (b, 1, h, w)`` for each scale:
        train the logits by a criterion and `i2i_ugatit.cam_verdict`.

    Raises:
        SettingsError: there is no such layer, or the two arguments do not go together.

    Example:
        >>> import torch
        >>> from i2i_ugatit import cam_discriminator
        >>> plain = cam_discriminator(base_width=2, layers=(4,))
        >>> net = attended_discriminator(plain, at=("scales.0.layers.5",), channels=(4,))
        >>> [tuple(logits.shape) for logits in net(torch.zeros(1, 3, 16, 16)).extras["cam_logits"]]
        [(1, 2)]
    """
    if len(at) != len(channels) or not at:
        raise SettingsError(f"at (={at}) must name a layer, and channels (={channels}) a number, for each scale")
    return AttendedNet(net, at, [CamHead(count, slope=0.2, spectral=True) for count in channels])


def _layer(net: nn.Module, name: str) -> nn.Module:
    try:
        return net.get_submodule(name)
    except AttributeError as error:
        known = [known for known, _ in net.named_modules() if known]
        raise SettingsError(f"at (={name!r}) is no layer of the net; it has {known[0]} ... {known[-1]}") from error


def _with_extras(value: object, noted: Sequence[Any]) -> Translation | Verdict:
    """Add what each of the layers has noted."""
    seen: list[Attended] = [each for layer in noted for each in layer]
    scales = len(value.logits) if isinstance(value, Verdict) else 1
    if [len(layer) for layer in noted] != [1] * scales or not isinstance(value, Translation | Verdict):
        raise CompositionError(
            f"{len(noted)} attended layers ran {len(seen)} times for a {type(value).__name__} of {scales} scales; "
            "there must be one for each scale, and each must run once"
        )
    if isinstance(value, Translation):
        return value._replace(extras={**value.extras, LOGITS: seen[0].logits, HEATMAP: seen[0].heatmap})
    found = {LOGITS: tuple(each.logits for each in seen), HEATMAP: tuple(each.heatmap for each in seen)}
    return value._replace(extras={**value.extras, **found})
