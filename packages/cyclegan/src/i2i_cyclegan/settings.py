"""The settings of the recipe ``cyclegan``, and what they share with pix2pix.

No torch here: ``i2i train cyclegan --help`` reads only this.
"""

from __future__ import annotations

from typing import Literal

import attrs

from i2i.errors import SettingsError
from i2i.settings import ImageSettings, above, at_least, between

NormName = Literal["instance", "batch", "none"]


@attrs.frozen
class GanSettings(ImageSettings):
    """What the authors' two methods have in common: length, networks, criterion, optimisers."""

    steps: int | None = attrs.field(default=None, validator=between(1, 10**9))
    """Batches of the whole run; when left out, as many as --epochs makes."""
    epochs: int = attrs.field(default=200, validator=between(1, 10**6))
    """Passes over the larger domain, where --steps does not say how long the run is."""
    batch_size: int = attrs.field(default=1, validator=between(1, 4096))
    """Images of each domain in a batch."""

    generator: Literal["resnet", "unet"] = "resnet"
    """Kind of the generators."""
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
    recompute: bool = False
    """Save memory: compute the generators' layers again for the backward pass instead of keeping what they made."""
    discriminator: Literal["patch", "pixel"] = "patch"
    """Kind of the discriminators: patch judges overlapping patches, pixel each pixel by itself."""
    discriminator_width: int = attrs.field(default=64, validator=between(1, 4096))
    """Channels of the first layer of the discriminators."""
    discriminator_layers: int = attrs.field(default=3, validator=between(1, 16))
    """Halvings in patch discriminators; 3 judges patches of 70 pixels."""
    discriminator_norm: NormName = "instance"
    """Normalisation in the discriminators."""
    init: Literal["normal", "xavier", "kaiming", "orthogonal", "torch"] = "normal"
    """Initialisation of the weights."""
    init_gain: float = attrs.field(default=0.02, validator=above(0))
    """Scale of the initialisation: its standard deviation or gain."""

    criterion: Literal["lsgan", "vanilla", "hinge", "wgan"] = "lsgan"
    """Adversarial loss."""
    adversarial_weight: float = attrs.field(default=1.0, validator=at_least(0))
    """Weight of the adversarial terms; 0 leaves them and the discriminators out."""
    gradient_penalty: float | None = attrs.field(default=None, validator=at_least(0))
    """Weight of the discriminators' gradient penalty; 10 with wgan, else 0, when left out."""
    r1_weight: float = attrs.field(default=0.0, validator=at_least(0))
    """Weight of the R1 penalty: the discriminators' squared gradient on real images; 0 leaves it out."""
    pool_size: int = attrs.field(default=50, validator=between(0, 10000))
    """Fakes remembered per direction, to be judged again later; 0 for none."""

    lr: float = attrs.field(default=2e-4, validator=above(0))
    """Learning rate of both optimisers."""
    beta1: float = attrs.field(default=0.5, validator=between(0, 0.9999))
    """First moment of Adam."""
    schedule: Literal["linear", "step", "cosine", "constant", "plateau"] = "linear"
    """How the learning rate falls; plateau: when the validation gets no better, which needs --validate-every."""
    decay_start: float = attrs.field(default=0.5, validator=between(0, 1))
    """Share of the run after which the rate falls in a straight line (schedule linear)."""
    decay_epochs: int = attrs.field(default=50, validator=between(1, 10**6))
    """Epochs after which the rate is divided by ten (schedule step)."""
    plateau_patience: int = attrs.field(default=5, validator=between(0, 10**6))
    """Validations in a row without improvement that are borne before the rate falls (schedule plateau)."""
    plateau_factor: float = attrs.field(default=0.2, validator=between(0.0001, 0.9999))
    """What the rate is multiplied by when it falls (schedule plateau)."""
    warm_up: int = attrs.field(default=0, validator=between(0, 10**9))
    """Batches in which the learning rate rises in a straight line at the start; 0 for none."""
    reference: bool = False
    """The authors' learning rates, epoch by epoch (0 in the last one), and their wgan without a penalty."""

    def __attrs_post_init__(self) -> None:
        if self.reference and self.schedule == "plateau":
            raise SettingsError("schedule (=plateau) never sees a figure in the authors' code; leave reference out")
        for name in ("r1_weight", "gradient_penalty"):
            if getattr(self, name) and not self.adversarial_weight:
                raise SettingsError(
                    f"{name} (={getattr(self, name)}) is a penalty of the discriminators, which adversarial_weight 0 "
                    f"leaves out; use {name} 0"
                )

    @property
    def penalty(self) -> float:
        """The weight of the gradient penalty."""
        if self.gradient_penalty is not None:
            return self.gradient_penalty
        return 10.0 if self.criterion == "wgan" and not self.reference else 0.0


@attrs.frozen
class Settings(GanSettings):
    """CycleGAN: two translators and two judges, learnt from unpaired photographs."""

    cycle_weight_a: float = attrs.field(default=10.0, validator=at_least(0))
    """Weight of the cycle A to B to A; 0 leaves it out."""
    cycle_weight_b: float = attrs.field(default=10.0, validator=at_least(0))
    """Weight of the cycle B to A to B; 0 leaves it out."""
    identity_weight: float = attrs.field(default=0.5, validator=at_least(0))
    """Weight of the identity terms, as a share of the cycle weights; 0 leaves them out."""

    def __attrs_post_init__(self) -> None:
        if not (self.adversarial_weight or self.cycle_weight_a or self.cycle_weight_b):
            raise SettingsError(
                "adversarial_weight, cycle_weight_a and cycle_weight_b are all 0: nothing is left to train; "
                "set one of them above 0"
            )
        super().__attrs_post_init__()
        a, b = self.both_channels
        if self.identity_weight and a != b:
            raise SettingsError(
                f"identity_weight (={self.identity_weight}) needs equal channels, not channels_a (={a}) "
                f"and channels_b (={b}); use identity_weight 0"
            )
