"""Networks from settings; the same for CycleGAN and pix2pix."""

from __future__ import annotations

from i2i_cyclegan.discriminators import ImageDiscriminator, patch_discriminator, pixel_discriminator
from i2i_cyclegan.generators import ImageGenerator, resnet_generator, unet_generator
from i2i_cyclegan.settings import GanSettings


def make_generator(settings: GanSettings, channels_in: int, channels_out: int) -> ImageGenerator:
    """Make the generator that the settings describe, newly initialised.

    Raises:
        SettingsError: settings at odds with each other.
    """
    s = settings
    if s.generator == "resnet":
        return resnet_generator(
            channels_in, channels_out, base_width=s.base_width, blocks=s.blocks, downs=s.downs or 2, norm=s.norm,
            padding=s.padding, dropout=s.dropout, init=s.init, init_gain=s.init_gain,
            recompute=s.recompute,
        )  # fmt: skip
    return unet_generator(
        channels_in, channels_out, base_width=s.base_width, downs=s.downs or 8, norm=s.norm, dropout=s.dropout,
        init=s.init, init_gain=s.init_gain, recompute=s.recompute,
    )  # fmt: skip


def make_discriminator(settings: GanSettings, channels: int) -> ImageDiscriminator:
    """Make the discriminator that the settings describe, newly initialised; ``channels`` are all that it reads."""
    s = settings
    if s.discriminator == "pixel":
        return pixel_discriminator(
            channels, base_width=s.discriminator_width, norm=s.discriminator_norm, init=s.init, init_gain=s.init_gain
        )
    return patch_discriminator(
        channels, base_width=s.discriminator_width, layers=s.discriminator_layers, norm=s.discriminator_norm,
        init=s.init, init_gain=s.init_gain,
    )  # fmt: skip
