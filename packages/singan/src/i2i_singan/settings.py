"""The settings of the recipe ``singan``. No torch here: ``i2i train singan --help`` reads only this."""

from __future__ import annotations

from typing import Literal

import attrs

from i2i.errors import SettingsError
from i2i.settings import above, at_least, between


@attrs.frozen
class Settings:
    """SinGAN: a pyramid of small GANs that learns one photograph, patch by patch, from coarse to fine."""

    steps: int = attrs.field(default=2000, validator=between(1, 10**7))
    """Batches of each scale of the pyramid; a batch is the photograph."""

    max_size: int = attrs.field(default=250, validator=between(8, 16384))
    """Longer side of the finest scale, in pixels; a smaller photograph keeps its size."""
    min_size: int = attrs.field(default=25, validator=between(8, 4096))
    """Shorter side of the coarsest scale, in pixels; larger: smaller structures move, and samples vary more."""
    scale_factor: float = attrs.field(default=0.75, validator=between(0.1, 0.95))
    """About how much smaller each coarser scale is; nearer to 1: more scales."""
    super_resolution_factor: float | None = attrs.field(default=None, validator=above(1))
    """Train the pyramid of super-resolution by this factor instead: its scales differ by a whole root of it."""
    quantised_scale: int | None = attrs.field(default=None, validator=at_least(1))
    """Train only this scale of the model that --data names, on coarser images in a few colours, for painting."""
    colours: int = attrs.field(default=5, validator=between(2, 256))
    """Colours of a quantised scale."""
    channels: int = attrs.field(default=3, validator=between(1, 1024))
    """Channels of the photograph: 3 (colour), 1 (grey), or as many as a TIFF file has."""
    range: tuple[float, float] | None = None
    """The lowest and the highest level in the file, where it does not use its whole depth."""
    alpha: Literal["drop", "white", "black"] = "drop"
    """Transparency, where the nets have no channel for it: drop it, or put the photograph on white or black."""

    base_width: int = attrs.field(default=32, validator=between(1, 4096))
    """Channels within the nets at the four coarsest scales; they double every four scales."""
    max_width: int = attrs.field(default=128, validator=between(1, 4096))
    """Channels within the nets at most."""
    layers: int = attrs.field(default=5, validator=between(2, 32))
    """Convolutions of each net; with 5 a patch of 11 pixels is judged at each scale."""
    kernel: int = attrs.field(default=3, validator=between(3, 15))
    """Side of the convolutions, an odd number of pixels."""

    discriminator_moves: int = attrs.field(default=3, validator=between(1, 100))
    """Moves of the discriminator per batch."""
    generator_moves: int = attrs.field(default=3, validator=between(1, 100))
    """Moves of the generator per batch."""
    generator_gradient: Literal["fresh", "stale", "single"] = "fresh"
    """Later moves of the generator: from a fresh fake; from the first fake's activations and the newest weights, as the
    authors' code; or along a single gradient."""
    penalty_weight: float = attrs.field(default=0.1, validator=at_least(0))
    """Weight of the discriminator's gradient penalty."""
    penalty_per: Literal["pixel", "image"] = "pixel"
    """The gradient whose norm should be 1: that of each pixel, as the authors' code, or of the image, as its paper."""
    reconstruction_weight: float = attrs.field(default=10.0, validator=at_least(0))
    """Weight of the squared error of the image that the fixed noise must give."""
    noise_weight: float = attrs.field(default=0.1, validator=at_least(0))
    """Noise of each scale, as a share of what the scales below miss of the photograph."""
    noise_padding: bool = False
    """Let noise reach over the border of the images, as for animation, instead of zeros: more variety at the border."""
    fixed_noise: bool = True
    """Keep the noise that must give the photograph fixed, as in the paper; else draw it anew for each batch."""

    settled_norms: bool = True
    """Once a scale is trained, its norms keep the statistics of the image of the fixed noise; else running averages
    over all that it made last, as the authors' code."""

    lr: float = attrs.field(default=5e-4, validator=above(0))
    """Learning rate of both optimisers."""
    beta1: float = attrs.field(default=0.5, validator=between(0, 0.9999))
    """First moment of Adam."""
    decay_at: float = attrs.field(default=0.8, validator=between(0, 1))
    """Share of the batches of a scale after which the rate is divided by ten."""
    reference: bool = False
    """Do as the authors' code where it differs from the paper: resizing through 8 bits, noise drawn anew, stale
    gradients, running averages in norms, the rate after 1600 batches."""

    def __attrs_post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise SettingsError(f"kernel (={self.kernel}) must be odd; use {self.kernel - 1} or {self.kernel + 1}")
        patch = self.layers * (self.kernel - 1) + 1
        if self.min_size < patch:
            raise SettingsError(
                f"min_size (={self.min_size}) must be at least {patch}, the side of the patches that {self.layers} "
                "layers judge; take a larger --min-size or fewer --layers"
            )
        if self.max_size < self.min_size:
            raise SettingsError(f"max_size (={self.max_size}) must be at least min_size (={self.min_size})")

    @property
    def gradient(self) -> Literal["fresh", "stale", "single"]:
        """How the generator's later moves are computed."""
        return "stale" if self.reference else self.generator_gradient

    @property
    def redraws(self) -> bool:
        """Whether the noise of the reconstruction is drawn anew for each batch."""
        return self.reference or not self.fixed_noise

    @property
    def settles(self) -> bool:
        """Whether the norms of a trained scale keep the statistics of the image of the fixed noise."""
        return self.settled_norms and not self.reference

    @property
    def decays_after(self) -> int:
        """The batches of a scale after which the learning rate is divided by ten."""
        return 1600 if self.reference else round(self.decay_at * self.steps)

    def width(self, scale: int) -> int:
        """Return the channels within the nets of a scale, counted from the coarsest one.

        Example:
            >>> [Settings().width(scale) for scale in (0, 3, 4, 8, 12)]
            [32, 32, 64, 128, 128]
        """
        return int(min(self.base_width * 2 ** (scale // 4), self.max_width))
