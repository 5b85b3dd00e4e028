"""The settings of the recipe ``cyclegan``. No torch here: ``i2i train cyclegan --help`` reads only this."""

from __future__ import annotations

from typing import Literal

import attrs

from i2i.errors import SettingsError
from i2i.settings import above, at_least, between

NormName = Literal["instance", "batch", "none"]


@attrs.frozen
class Settings:
    """CycleGAN: two translators and two judges, learnt from unpaired photographs."""

    steps: int | None = attrs.field(default=None, validator=between(1, 10**9))
    """Batches of the whole run; when left out, as many as --epochs makes."""
    epochs: int = attrs.field(default=200, validator=between(1, 10**6))
    """Passes over the larger domain, where --steps does not say how long the run is."""
    batch_size: int = attrs.field(default=1, validator=between(1, 4096))
    """Images of each domain in a batch."""

    load_size: int = attrs.field(default=286, validator=between(1, 16384))
    """Images are brought to this size before they are cropped, in pixels."""
    crop_size: int = attrs.field(default=256, validator=between(1, 16384))
    """Side of the square that the nets see, in pixels."""
    preprocess: Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"] = "resize_and_crop"
    """How images are brought to size."""
    flip: bool = True
    """Mirror images at random, one in two."""
    serial: bool = False
    """Take the images in the order of their names instead of shuffled."""
    max_images: int | None = attrs.field(default=None, validator=at_least(1))
    """Use the first so many images of each domain only."""
    channels_a: int = attrs.field(default=3, validator=between(1, 3))
    """Channels of domain A: 3 (colour) or 1 (grey)."""
    channels_b: int = attrs.field(default=3, validator=between(1, 3))
    """Channels of domain B: 3 (colour) or 1 (grey)."""

    generator: Literal["resnet", "unet"] = "resnet"
    """Kind of the two generators."""
    base_width: int = attrs.field(default=64, validator=between(1, 4096))
    """Channels of the first layer of the generators."""
    blocks: int = attrs.field(default=9, validator=between(0, 1000))
    """Residual blocks of the ResNet generator; the authors take 6 for 128 pixels, 9 for 256."""
    downs: int | None = attrs.field(default=None, validator=between(1, 16))
    """Halvings in the generators; 2 for resnet, 8 for unet, when left out."""
    norm: NormName = "instance"
    """Normalisation in the generators."""
    padding: Literal["reflect", "replicate", "zero"] = "reflect"
    """Padding in the residual blocks."""
    dropout: float = attrs.field(default=0.0, validator=between(0, 0.9))
    """Share of features that dropout leaves out in the generators."""
    discriminator_width: int = attrs.field(default=64, validator=between(1, 4096))
    """Channels of the first layer of the discriminators."""
    discriminator_layers: int = attrs.field(default=3, validator=between(1, 16))
    """Halvings in the discriminators; 3 judges patches of 70 pixels."""
    discriminator_norm: NormName = "instance"
    """Normalisation in the discriminators."""
    init: Literal["normal", "xavier", "kaiming", "orthogonal", "torch"] = "normal"
    """Initialisation of the weights."""
    init_gain: float = attrs.field(default=0.02, validator=above(0))
    """Scale of the initialisation: its standard deviation or gain."""

    criterion: Literal["lsgan", "vanilla", "hinge", "wgan"] = "lsgan"
    """Adversarial loss."""
    gradient_penalty: float | None = attrs.field(default=None, validator=at_least(0))
    """Weight of the discriminators' gradient penalty; 10 with wgan, else 0, when left out."""
    cycle_weight_a: float = attrs.field(default=10.0, validator=at_least(0))
    """Weight of the cycle A to B to A."""
    cycle_weight_b: float = attrs.field(default=10.0, validator=at_least(0))
    """Weight of the cycle B to A to B."""
    identity_weight: float = attrs.field(default=0.5, validator=at_least(0))
    """Weight of the identity terms, as a share of the cycle weights; 0 leaves them out."""
    pool_size: int = attrs.field(default=50, validator=between(0, 10000))
    """Fakes remembered per direction, to be judged again later; 0 for none."""

    lr: float = attrs.field(default=2e-4, validator=above(0))
    """Learning rate of both optimisers."""
    beta1: float = attrs.field(default=0.5, validator=between(0, 0.9999))
    """First moment of Adam."""
    schedule: Literal["linear", "step", "cosine", "constant"] = "linear"
    """How the learning rate falls."""
    decay_start: float = attrs.field(default=0.5, validator=between(0, 1))
    """Share of the run after which the rate falls in a straight line (schedule linear)."""
    decay_epochs: int = attrs.field(default=50, validator=between(1, 10**6))
    """Epochs after which the rate is divided by ten (schedule step)."""
    reference: bool = False
    """The authors' learning rates, epoch by epoch (0 in the last one), and their wgan without a penalty."""

    def __attrs_post_init__(self) -> None:
        for name in ("channels_a", "channels_b"):
            if getattr(self, name) == 2:
                raise SettingsError(f"{name} (=2) must be 3 (colour) or 1 (grey)")
        if self.identity_weight and self.channels_a != self.channels_b:
            raise SettingsError(
                f"identity_weight (={self.identity_weight}) needs equal channels, not channels_a (={self.channels_a}) "
                f"and channels_b (={self.channels_b}); use identity_weight 0"
            )

    @property
    def penalty(self) -> float:
        """The weight of the gradient penalty."""
        if self.gradient_penalty is not None:
            return self.gradient_penalty
        return 10.0 if self.criterion == "wgan" and not self.reference else 0.0
