"""The feature encoder: a few numbers for each object of a photograph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from i2i.errors import DataError
from i2i.layers import Norm, at_least, sequence
from i2i.parts import Example, part
from i2i.values import Translation
from i2i_pix2pixhd.generators import SceneNetwork
from i2i_pix2pixhd.initialise import initialise
from i2i_pix2pixhd.layers import Padding, Upsampling, layers_of


class FeatureEncoder(SceneNetwork):
    """Makes features of an image, and takes their mean over each object."""

    def __init__(self, model: nn.Module, in_channels: int, features: int, *, multiple: int) -> None:
        super().__init__(in_channels, features, 0, multiple=multiple, smallest=2 * multiple)
        self.model = model

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        """Encode an image.

        Args:
            image: ``(b, in_channels, h, w)`` in ``[-1, 1]``.
            condition: ids of regions ``(b, 1, h, w)``, any integers; within a sample, all pixels of an id get their
                mean. None: leave each pixel its own.

        Returns:
            ``(b, features, h, w)`` in ``[-1, 1]``.

        Raises:
            DataError: the image has other channels, or a size that the network cannot make again; or ids that are no
                integers, or of another size.
        """
        values: Tensor = self.model(self.inputs(image, None))
        return Translation(values if condition is None else instance_mean(values, condition))


def instance_mean(values: Tensor, ids: Tensor) -> Tensor:
    """Replace each pixel by the mean of its region: of the pixels of the same id in the same sample.

    Sums are in float32 (float64 for values in float64). The gradient goes through the mean alone. Nothing is read from
    the device, and nothing depends on how many ids there are.

    Args:
        values: ``(b, c, h, w)``.
        ids: ``(b, 1, h, w)``, any integers.

    Returns:
        ``(b, c, h, w)``.

    Raises:
        DataError: ids that are no integers, or of another size.

    Example:
        >>> instance_mean(torch.tensor([[[[1.0, 3.0, 5.0]]]]), torch.tensor([[[[7, 7, -1]]]]))
        tensor([[[[2., 2., 5.]]]])

    References:
        Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, 2018, section 3.4.
    """
    if ids.is_floating_point() or ids.shape != (len(values), 1, *values.shape[2:]):
        wanted = (len(values), 1, *values.shape[2:])
        given = f"{str(ids.dtype).removeprefix('torch.')} {tuple(ids.shape)}"
        raise DataError(f"ids of regions are {given}: they must be integers {wanted}, one for each pixel")
    regions = _numbered(ids.flatten(1))
    return _Mean.apply(values, regions)  # type: ignore[no-any-return]


def _numbered(ids: Tensor) -> Tensor:
    """Number the ids of each row ``(b, n)`` from 0 on, in their order."""
    ordered, order = ids.sort(dim=1)
    begins = torch.zeros_like(order)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return torch.empty_like(order).scatter_(1, order, begins.cumsum(1))


class _Mean(torch.autograd.Function):
    """The mean over regions, which is its own derivative."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, regions: Tensor) -> Tensor:
        ctx.save_for_backward(regions)
        flat = values.flatten(2).to(torch.promote_types(values.dtype, torch.float32))
        counts = flat.new_zeros(regions.shape).scatter_add_(1, regions, flat.new_ones(regions.shape))
        index = regions[:, None].expand_as(flat)
        sums = torch.zeros_like(flat).scatter_add_(2, index, flat)
        means = sums / counts.clamp_min_(1)[:, None]  # there are as many places as pixels, most of them for no region
        return means.gather(2, index).view(values.shape).to(values.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (regions,) = ctx.saved_tensors
        return _Mean.apply(gradient, regions), None


@part(example=Example({"base_width": 2, "downs": 2}, ((1, 3, 16, 16),)))
def feature_encoder(
    in_channels: int = 3,
    features: int = 3,
    *,
    base_width: int = 16,
    downs: int = 4,
    norm: Norm = "instance",
    upsampling: Upsampling = "transposed",
    padding: Padding = "zero",
) -> FeatureEncoder:
    """Make the feature encoder: a 7x7 convolution, ``downs`` halvings, and back up.

    Args:
        in_channels: channels of the image it reads.
        features: numbers for each object.
        base_width: channels after the first convolution; each halving doubles them.
        downs: halvings, 1 and up. Height and width must be multiples of ``2 ** downs``, at least twice that.
        norm: ``"instance"``, ``"batch"`` or ``"none"``.
        upsampling: as of `i2i_pix2pixhd.generators.global_generator`.
        padding: as there.

    Returns:
        A `FeatureEncoder`, newly initialised.

    Raises:
        SettingsError: an argument is out of range or unknown.

    Example:
        >>> net = feature_encoder(base_width=2, downs=2)
        >>> made = net(torch.randn(1, 3, 16, 16), torch.zeros(1, 1, 16, 16, dtype=torch.int32)).image
        >>> torch.equal(made, made[..., :1, :1].expand_as(made))
        True

    References:
        Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, 2018 (arXiv
        1711.11585), section 3.4 and appendix.
    """
    at_least("in_channels", in_channels, 1)
    at_least("features", features, 1)
    at_least("base_width", base_width, 1)
    at_least("downs", downs, 1, 16)
    layers = layers_of(norm, upsampling, padding)
    model = sequence(
        *layers.whole(0, in_channels, base_width, downs, 0), layers.last(base_width, features), recompute=False
    )
    return initialise(FeatureEncoder(model, in_channels, features, multiple=2**downs))
