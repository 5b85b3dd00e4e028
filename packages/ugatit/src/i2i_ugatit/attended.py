"""Attention for networks that were built without: a `CamHead` behind one of their layers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from i2i.errors import CompositionError, SettingsError
from i2i.parts import Example, part
from i2i.values import Translation, Verdict
from i2i_ugatit.cam import Attended, CamHead, cam_head
from i2i_ugatit.discriminators import cam_discriminator
from i2i_ugatit.generators import cam_generator
from i2i_ugatit.terms import HEATMAP, LOGITS

_KEPT = ("in_channels", "out_channels", "multiple", "smallest", "reach", "size", "reads", "writes", "takes")


class Attention(nn.Module):
    """A `CamHead` that takes what a layer makes, and notes what it sees while ``noted`` is a list."""

    def __init__(self, cam: CamHead) -> None:
        super().__init__()
        self.cam = cam
        self.channels = cam.fuse.out_channels
        self.noted: list[Attended] | None = None

    def behind(self, layer: nn.Module, given: object, features: Tensor) -> Tensor:
        """Return the attended features ``(b, c, h, w)`` of what ``layer`` made; its forward hook.

        Raises:
            CompositionError: the layer makes something else.
        """
        if not isinstance(features, Tensor) or features.ndim != 4 or features.shape[1] != self.channels:
            made = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise CompositionError(
                f"the attended layer makes {made}, not (b, {self.channels}, h, w); channels (={self.channels}) must be "
                "those that it makes"
            )
        attended: Attended = self.cam(features)
        if self.noted is not None:  # not while the layer is computed again for the backward pass
            self.noted.append(attended)
        return attended.features


class AttendedNet(nn.Module):
    """A network with attention behind some of its layers, and what it sees among its extras.

    The names of its own weights begin with ``net``. Sizes, channels and files that it is for are those of the network.
    """

    def __init__(self, net: nn.Module, at: Sequence[str], heads: Sequence[CamHead]) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        self.attention = nn.ModuleList(Attention(head) for head in heads)
        for name, attention in zip(at, self.attention, strict=True):
            # A hook, so that a net that looks at the kinds of its layers finds them as they were.
            _layer(self.net, name).register_forward_hook(attention.behind)  # type: ignore[arg-type]
        for name in _KEPT:
            if hasattr(net, name):
                setattr(self, name, getattr(net, name))

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation | Verdict:
        """Return what the network returns, with the extras ``cam_logits`` and ``heatmap``.

        Raises:
            CompositionError: the network is neither generator nor discriminator, a layer makes other channels than was
                said, or the scales are more or fewer than the layers that are attended to.
        """
        heads: list[Any] = list(self.attention)
        for head in heads:
            head.noted = []
        try:
            value = self.net(image) if condition is None else self.net(image, condition)
            return _with_extras(value, [head.noted for head in heads])
        finally:
            for head in heads:
                head.noted = None


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
    return AttendedNet(net, [at], [cam_head(channels)])


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
    _check_scales(at, channels)
    return AttendedNet(net, at, [cam_head(count, slope=0.2, spectral=True) for count in channels])


def _check_scales(at: Any, channels: Any) -> None:
    sequences = not isinstance(at, str) and all(isinstance(each, Sequence) for each in (at, channels))
    if not sequences or not at or len(set(at)) != len(channels):
        raise SettingsError(f"at (={at}) must name a layer of its own, and channels (={channels}) a number, for each "
                            "scale")  # fmt: skip


def _layer(net: nn.Module, name: str) -> nn.Module:
    known = [known for known, _ in net.named_modules() if known]
    if name not in known:
        raise SettingsError(f"at (={name!r}) is no layer of the net; it has {known[0]} ... {known[-1]}")
    return net.get_submodule(name)


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
