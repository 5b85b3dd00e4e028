"""The settings of the recipe ``pix2pix``. No torch here: ``i2i train pix2pix --help`` reads only this."""

from __future__ import annotations

from typing import Literal

import attrs

from i2i.errors import SettingsError
from i2i.settings import above, at_least, between
from i2i_cyclegan.settings import GanSettings, NormName


@attrs.frozen
class Settings(GanSettings):
    """pix2pix: one translator and one judge, learnt from pairs of images."""

    direction: Literal["a_to_b", "b_to_a"] = "a_to_b"
    """Which side of a pair the generator reads, and which it makes."""
    colourise: bool = False
    """Learn to colour grey photographs: from the colour photographs of one folder, without pairs."""

    generator: Literal["resnet", "unet"] = "unet"
    """Kind of the generator."""
    norm: NormName = "batch"
    """Normalisation in the generator."""
    dropout: float = attrs.field(default=0.5, validator=between(0, 0.9))
    """Share of features that dropout leaves out in the generator; a U-Net needs 6 downs for it."""
    discriminator_norm: NormName = "batch"
    """Normalisation in the discriminator."""

    criterion: Literal["lsgan", "vanilla", "hinge", "wgan"] = "vanilla"
    """Adversarial loss."""
    l1_weight: float = attrs.field(default=100.0, validator=at_least(0))
    """Weight of the mean absolute difference from the target; 0 leaves it out."""
    pool_size: int = attrs.field(default=0, validator=between(0, 10000))
    """Fakes remembered with what they were made of, to be judged again later; 0 for none."""

    discriminator_lr: float | None = attrs.field(default=None, validator=above(0))
    """Learning rate of the discriminator; that of the generator when left out."""

    def __attrs_post_init__(self) -> None:
        if not (self.adversarial_weight or self.l1_weight):
            raise SettingsError(
                "adversarial_weight and l1_weight are both 0: nothing is left to train; set one of them above 0"
            )
        super().__attrs_post_init__()
        if self.colourise:
            self._check_colourise()

    def _check_colourise(self) -> None:
        for name, wanted in (("channels_a", 1), ("channels_b", 2)):
            value = getattr(self, name)
            if value not in (None, wanted):
                raise SettingsError(f"{name} (={value}) must be {wanted} with colourise; leave it out")
        for name in ("direction", "channels", "range_a", "range_b"):
            value = getattr(self, name)
            if value != attrs.fields_dict(Settings)[name].default:
                shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
                raise SettingsError(f"{name} (={shown}) and colourise exclude each other; leave one of them out")

    @property
    def both_channels(self) -> tuple[int, int]:
        """The channels of A and of B; with ``colourise`` those of lightness and of chroma."""
        return (1, 2) if self.colourise else super().both_channels
