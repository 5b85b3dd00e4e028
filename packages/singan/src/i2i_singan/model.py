"""What is trained, saved and sampled: a pyramid of generators with all that its applications need."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i.errors import DataError, SettingsError
from i2i.parts import Example, part
from i2i.values import Translation
from i2i_singan.networks import ScaleGenerator, scale_generator
from i2i_singan.resize import resize


class Scale(nn.Module):
    """One scale of the generator, with what was fixed when its training began.

    Attributes:
        net: adds to a coarser image what this scale knows.
        amplitude: of the noise, a scalar; 1 at the coarsest scale.
        image: the training images at this scale, ``(n, c, h, w)``.
        prior: while it is trained, what the fixed noise gives below it, ``(n, c, h, w)``.
        noise: at the coarsest scale, the noise that gives the training images: ``(n, c, h, w)``, with its padding where
            noise reaches over the border; else None.
    """

    amplitude: Tensor
    image: Tensor
    noise: Tensor | None

    def __init__(self, net: ScaleGenerator, image: Tensor, noise: Tensor | None = None) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("amplitude", torch.ones((), dtype=image.dtype, device=image.device))
        self.register_buffer("image", image)
        self.register_buffer("noise", noise)
        self.prior = torch.zeros_like(image)

    def settled(self) -> Scale:
        """Return the scale with a net in eval mode, whose norms keep the statistics of the image of the fixed noise."""
        net = self.net.twin()
        net.settle(self.inputs(self.prior, self.noise))
        scale = Scale(net, self.image, self.noise)
        scale.amplitude, scale.prior = self.amplitude, self.prior
        return scale

    def inputs(self, prior: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return what the net reads: noise on ``prior``, in a border of zeros.

        Args:
            prior: ``(..., c, h, w)``.
            noise: ``(..., 1 or c, h, w)``, or that of the border too: ``(..., h + 2 reach, w + 2 reach)``; None: none.
        """
        border = (self.net.reach,) * 4
        if noise is None:
            return F.pad(prior, border)
        if noise.shape[-2:] == prior.shape[-2:]:
            return F.pad(torch.addcmul(prior, noise, self.amplitude), border)
        return torch.addcmul(F.pad(prior, border), noise, self.amplitude)

    def forward(self, prior: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the image ``(b, c, h, w)`` of this scale: the coarser one, ``prior (b, c, h, w)``, plus details."""
        return self.net(self.inputs(prior, noise), prior).image  # type: ignore[no-any-return]


class PyramidGenerator(nn.Module):
    """Makes images of noise, from coarse to fine.

    Attributes:
        scales: from coarse to fine.
        factor: by which each coarser scale is smaller, below 1.
        noise_padding: noise reaches over the border of the images.
        reference: images are resized between scales as the authors' code does, through 8 bits.
        takes: says that it reads noise, and does not translate images.
    """

    takes = "noise"

    def __init__(self, scales: Sequence[Scale], factor: float, *, noise_padding: bool, reference: bool) -> None:
        super().__init__()
        self.scales = nn.ModuleList(scales)
        self.factor, self.noise_padding, self.reference = factor, noise_padding, reference

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each scale, in pixels."""
        return tuple((scale.image.shape[2], scale.image.shape[3]) for scale in self)

    @property
    def in_channels(self) -> int:
        """Channels of the images, and of the noise."""
        return self[0].net.in_channels

    out_channels = in_channels

    @property
    def reach(self) -> int:
        """Pixels to each side that a pixel of a scale depends on."""
        return self[0].net.reach

    def __len__(self) -> int:
        return len(self.scales)

    def __getitem__(self, index: int) -> Scale:
        scale = self.scales[index]
        assert isinstance(scale, Scale)  # for the type checker
        return scale

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.scales)

    def upsampled(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Bring the result of a scale to the ``size`` (h, w) of the next one: the prior of that."""
        return resize(image, size, 1 / self.factor, reference=self.reference)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        """Make images of noise at the coarsest scale, with no noise at the others.

        Args:
            image: the noise, ``(b, c, h, w)`` of the coarsest scale; with ``noise_padding`` its border too. That of the
                training, ``scales[0].noise``, gives the training images.
            condition: there is none.

        Returns:
            Images of the size of the finest scale.

        Raises:
            DataError: an image of another size: this network reads noise only.
        """
        border = 2 * self.reach if self.noise_padding else 0
        height, width = self.sizes[0]
        wanted = (self.in_channels, height + border, width + border)
        if image.ndim != 4 or tuple(image.shape[1:]) != wanted or condition is not None:
            raise DataError(f"SinGAN reads noise of shape (batch, {wanted[0]}, {wanted[1]}, {wanted[2]}), no images")
        made = self[0](image.new_zeros(len(image), self.in_channels, height, width), image)
        for scale, size in zip(list(self.scales)[1:], self.sizes[1:], strict=True):
            made = scale(self.upsampled(made, size))
        return Translation(made)


@part(
    example=Example({"sizes": ((12, 14), (16, 18)), "widths": (2, 2), "factor": 0.75, "layers": 2}, ((1, 3, 12, 14),))
)
def pyramid_generator(
    sizes: tuple[tuple[int, int], ...],
    widths: tuple[int, ...],
    *,
    factor: float,
    channels: int = 3,
    images: int = 1,
    layers: int = 5,
    kernel: int = 3,
    noise_padding: bool = False,
    reference: bool = False,
    norm: nn.Module | None = None,
) -> PyramidGenerator:
    """Make the generator of all scales; its images are zeros until it is trained or loaded.

    Args:
        sizes: height and width of each scale, from coarse to fine.
        widths: channels within the nets of each scale.
        factor: by which each coarser scale is smaller, below 1.
        channels: of the images.
        images: how many it is trained on.
        layers: convolutions of each net.
        kernel: their side, odd.
        noise_padding: noise reaches over the border of the images.
        reference: resize between scales through 8 bits, as the authors' code.
        norm: of all nets, see `i2i_singan.scale_generator`; the widths must then be equal.

    Raises:
        SettingsError: an argument is out of range, sizes and widths differ in number, or widths with one norm.

    Example:
        >>> net = pyramid_generator(((25, 33), (33, 43)), (32, 32), factor=0.77)
        >>> net(torch.zeros(1, 3, 25, 33)).image.shape
        torch.Size([1, 3, 33, 43])
    """
    if not sizes or len(sizes) != len(widths):
        raise SettingsError(f"sizes (={sizes}) and widths (={widths}) must be as many, one for each scale")
    if not 0 < factor < 1:
        raise SettingsError(f"factor (={factor}) must lie between 0 and 1")
    if norm is not None and len(set(widths)) > 1:
        raise SettingsError(f"widths (={widths}) must be equal where a norm is given: it is made for so many channels")
    nets = [scale_generator(channels, width=width, layers=layers, kernel=kernel, norm=norm) for width in widths]
    border = 2 * nets[0].reach if noise_padding else 0
    noise = torch.zeros(images, channels, sizes[0][0] + border, sizes[0][1] + border)
    scales = [
        Scale(net, torch.zeros(images, channels, *size), None if index else noise)
        for index, (net, size) in enumerate(zip(nets, sizes, strict=True))
    ]
    return PyramidGenerator(scales, factor, noise_padding=noise_padding, reference=reference)


def assembled(scales: Sequence[Scale], factor: float, *, noise_padding: bool, reference: bool) -> PyramidGenerator:
    """Make a pyramid of scales that there are, such as those trained so far; it can be saved."""
    first = scales[0]
    with torch.device("meta"):
        model = pyramid_generator(
            tuple((scale.image.shape[2], scale.image.shape[3]) for scale in scales),
            tuple(scale.net.head.conv.out_channels for scale in scales),
            factor=factor,
            channels=first.net.in_channels,
            images=len(first.image),
            layers=len(first.net.blocks()) + 1,
            kernel=first.net.head.conv.kernel_size[0],
            noise_padding=noise_padding,
            reference=reference,
        )
    model.scales = nn.ModuleList(scales)
    return model
