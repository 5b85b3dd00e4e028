"""The authors' checkpoints as models: which network a file holds is read off its keys and shapes.

References:
    The public repository pytorch-CycleGAN-and-pix2pix, whose ``*_net_*.pth`` files hold one plain state_dict each.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from torch import Tensor, nn

from i2i.convert import convolutions, filled, has_batch_norm, inventory, weights_of, with_statistics
from i2i.errors import ModelError
from i2i.layers import Norm
from i2i.pixels import PixelFormat
from i2i_cyclegan.discriminators import patch_discriminator, pixel_discriminator
from i2i_cyclegan.generators import Padding, resnet_generator, unet_generator

Weights = Mapping[str, Tensor]
Build = Callable[[], nn.Module]

# The authors' D_A judges domain B; in i2i, what judges B is named b.
_KEYS = {"G_A": "a2b", "G_B": "b2a", "G": "a2b", "D_A": "d_b", "D_B": "d_a", "D": "d"}
# Positions of the two convolutions in a residual block: padding layers and dropout take positions, too.
_LAYOUTS: Mapping[tuple[int, ...], tuple[Padding, float]] = {
    (1, 5): ("reflect", 0.0),
    (1, 6): ("reflect", 0.5),
    (0, 3): ("zero", 0.0),
    (0, 4): ("zero", 0.5),
}
# Networks of other code that share the first keys with ours, or are often taken for them.
_OTHERS = (
    (r"\.filt$", "a network of CUT with blurred down- and upsampling"),
    (r"^mlp_\d", "the projection heads of CUT"),
    (r"^DownBlock", "a generator of U-GAT-IT"),
    (r"^scale\d_layer\d", "a discriminator of pix2pixHD"),
    (r"^head\.conv\.", "a network of SinGAN"),
)


def cyclegan(found: Mapping[str, Any], name: str) -> dict[str, nn.Module]:
    """Convert a file of the authors' CycleGAN.

    Args:
        found: what the file holds.
        name: the file's name, such as ``latest_net_G_A.pth``.

    Returns:
        One model, by its key: ``a2b``, ``b2a``, ``d_a``, ``d_b``, or the file's name.

    Raises:
        ModelError: the file holds something else; what was found is said.
    """
    return {key_of(name): network(weights_of(found))}


def pix2pix(found: Mapping[str, Any], name: str) -> dict[str, nn.Module]:
    """Convert a file of the authors' pix2pix or colourisation; see `cyclegan`.

    Dropout leaves no trace in a U-Net's file. The authors train pix2pix with dropout 0.5, so that is noted here; it
    acts in train mode only.
    """
    return {key_of(name): network(weights_of(found), unet_dropout=0.5)}


def key_of(name: str) -> str:
    """Return the key of a model by the name of its file.

    Example:
        >>> key_of("latest_net_G_B.pth"), key_of("200_net_D_A.pth"), key_of("horse2zebra.pth")
        ('b2a', 'd_b', 'horse2zebra')
    """
    stem = PurePath(name).stem
    found = re.search(r"(?:^|_)net_([GD](?:_[AB])?)$", stem)
    return _KEYS[found[1]] if found else re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "model"


def network(weights: Weights, *, unet_dropout: float = 0.0) -> nn.Module:
    """Build the network that a state_dict belongs to.

    Args:
        weights: tensors by the authors' keys.
        unet_dropout: what is noted for a U-Net, whose keys are the same with and without.

    Returns:
        A generator or discriminator with these weights, in eval mode.

    Raises:
        ModelError: it is none of the authors' networks.
    """
    build, norm = _recognised(weights, unet_dropout)
    net = filled(build, with_statistics(weights, norm))
    if (getattr(net, "in_channels", None), getattr(net, "out_channels", None)) == (1, 2):  # the authors' colourisation
        net.reads = PixelFormat(channels=1, colours="lightness")  # type: ignore[assignment]
        net.writes = PixelFormat(channels=2, colours="chroma")  # type: ignore[assignment]
    return net


def _recognised(weights: Weights, unet_dropout: float) -> tuple[Build, Norm]:
    """Return what makes the network, and its norm."""
    for pattern, title in _OTHERS:
        if any(re.search(pattern, key) for key in weights):
            raise ModelError(f"holds {title}, not a network of the CycleGAN and pix2pix authors; {inventory(weights)}")
    if _kernel(weights, "model.1.weight") == 7:
        return _resnet(weights)
    if _kernel(weights, "model.model.0.weight") == 4:
        return _unet(weights, unet_dropout)
    if _kernel(weights, "model.0.weight") == 4:
        return _patch(weights)
    if _kernel(weights, "net.0.weight") == 1:
        return _pixel(weights)
    raise ModelError(
        "holds no network of the CycleGAN and pix2pix authors (expected the state_dict of a ResNet or U-Net generator, "
        f"or of a patch or pixel discriminator); found {inventory(weights)}"
    )


def _resnet(weights: Weights) -> tuple[Build, Norm]:
    places = convolutions(weights, r"model\.(\d{1,4})\.weight")
    blocks = {key.split(".")[1] for key in weights if re.match(r"model\.\d+\.conv_block\.", key)}
    inside = tuple(convolutions(weights, r"model\.\d+\.conv_block\.(\d{1,4})\.weight"))
    padding, dropout = _LAYOUTS.get(inside, ("reflect", 0.0))
    norm, (width, channels) = _norm(weights, "model.1"), weights["model.1.weight"].shape[:2]
    make = functools.partial(
        resnet_generator, channels, len(weights[f"model.{places[-1]}.weight"]), base_width=width, blocks=len(blocks),
        downs=len(places) // 2 - 1, norm=norm, padding=padding, dropout=dropout,
    )  # fmt: skip
    return make, norm


def _unet(weights: Weights, dropout: float) -> tuple[Build, Norm]:
    norm, (width, channels) = _norm(weights, "model.model.0"), weights["model.model.0.weight"].shape[:2]
    downs = sum(value.ndim == 4 for value in weights.values()) // 2
    last = "model.model.3.weight"
    if _kernel(weights, last) != 4:
        raise ModelError(f"looks like a U-Net generator, but {last}, its last layer, is missing; {inventory(weights)}")
    make = functools.partial(
        unet_generator, channels, weights[last].shape[1], base_width=width, downs=downs, norm=norm,
        dropout=dropout if downs >= 6 else 0.0,
    )  # fmt: skip
    return make, norm


def _patch(weights: Weights) -> tuple[Build, Norm]:
    norm, (width, channels) = _norm(weights, "model.2"), weights["model.0.weight"].shape[:2]
    layers = len(convolutions(weights, r"model\.(\d{1,4})\.weight")) - 2
    return functools.partial(patch_discriminator, channels, base_width=width, layers=layers, norm=norm), norm


def _pixel(weights: Weights) -> tuple[Build, Norm]:
    norm, (width, channels) = _norm(weights, "net.2"), weights["net.0.weight"].shape[:2]
    return functools.partial(pixel_discriminator, channels, base_width=width, norm=norm), norm


def _kernel(weights: Weights, key: str) -> int:
    """The side of the kernel of a convolution; 0 where there is none of that name."""
    return weights[key].shape[-1] if key in weights and weights[key].ndim == 4 else 0


def _norm(weights: Weights, convolution: str) -> Norm:
    """The norm; only before an instance norm a convolution has a bias."""
    if has_batch_norm(weights):
        return "batch"
    return "instance" if f"{convolution}.bias" in weights else "none"
