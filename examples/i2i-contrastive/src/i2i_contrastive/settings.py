"""What a user can set. It imports no torch, so that ``i2i --help`` is instant."""

from __future__ import annotations

from typing import Literal

import attrs

from i2i.settings import ImageSettings, above, at_least, between


@attrs.frozen
class Preset:
    """What the two forms of the method differ in."""

    nce_weight: float
    identity_weight: float
    flip_equivariance: bool
    epochs: int
    decay_start: float


PRESETS = {
    "cut": Preset(nce_weight=1.0, identity_weight=1.0, flip_equivariance=False, epochs=400, decay_start=0.5),
    "fastcut": Preset(nce_weight=10.0, identity_weight=0.0, flip_equivariance=True, epochs=200, decay_start=0.75),
}


@attrs.frozen
class Settings(ImageSettings):
    """Contrastive translation (CUT): one generator from A to B, whose patches keep what they show."""

    preset: Literal["cut", "fastcut"] = "cut"
    """Whose defaults: cut, the full method; fastcut, its lighter form: no identity term, features that mirror with the
    image, ten times the contrastive weight, half of the epochs."""
    steps: int | None = attrs.field(default=None, validator=at_least(1))
    """Batches of the whole run; when left out, as many as --epochs makes."""
    epochs: int | None = attrs.field(default=None, validator=at_least(1))
    """Passes over the larger domain, where --steps does not say how long the run is; 400, or 200 with preset
    fastcut, when left out."""
    batch_size: int = attrs.field(default=1, validator=at_least(1))
    """Images of each domain in a batch."""
    generator: str = "cyclegan/resnet_generator"
    """The registered part that is the generator, of any plugin; see `i2i parts`."""
    base_width: int | None = attrs.field(default=None, validator=at_least(1))
    """Channels of the first layer of the generator; as the part has it when left out, like the next three."""
    blocks: int | None = attrs.field(default=None, validator=at_least(0))
    """Residual blocks of the generator."""
    downs: int | None = attrs.field(default=None, validator=at_least(1))
    """Halvings in the generator."""
    norm: str | None = None
    """Normalisation in the generator."""
    layers: tuple[str, ...] = ()
    """Layers of the generator whose features are compared: input (the image itself) and names of its modules; those
    of the paper, when left out, for the generators of i2i-cyclegan."""
    patches: int = attrs.field(default=256, validator=at_least(2))
    """Places drawn in each layer and image; all, where a layer has fewer."""
    projection_width: int = attrs.field(default=256, validator=at_least(1))
    """Channels of both layers of the projection heads."""
    temperature: float = attrs.field(default=0.07, validator=above(0))
    """What similarities are divided by: the lower, the more the nearest other patches count."""
    nce_weight: float | None = attrs.field(default=None, validator=above(0))
    """Weight of the contrastive term between an image of A and its translation; 1, or 10 with preset fastcut, when
    left out."""
    identity_weight: float | None = attrs.field(default=None, validator=at_least(0))
    """Weight of the contrastive term between an image of B and what the generator makes of it; 0 leaves it out; 1,
    or 0 with preset fastcut, when left out."""
    flip_equivariance: bool | None = None
    """Translate one image in two mirrored, and compare its features, mirrored back, with those of the image as it is;
    off, or on with preset fastcut, when left out."""
    adversarial_weight: float = attrs.field(default=1.0, validator=above(0))
    """Weight of the adversarial term."""
    discriminator: str = "cyclegan/patch_discriminator"
    """The registered part that is the discriminator, of any plugin."""
    discriminator_width: int | None = attrs.field(default=None, validator=at_least(1))
    """Channels of the first layer of the discriminator; as the part has it when left out, like the next one."""
    discriminator_layers: int | None = attrs.field(default=None, validator=at_least(1))
    """Layers of the discriminator; halvings of a patch discriminator."""
    lr: float = attrs.field(default=2e-4, validator=above(0))
    """Learning rate of both optimisers (Adam)."""
    beta1: float = attrs.field(default=0.5, validator=between(0, 0.999))
    """First moment of Adam."""
    decay_start: float | None = attrs.field(default=None, validator=between(0, 1))
    """Share of the run after which the rate falls to 0 in a straight line; 0.5, or 0.75 with preset fastcut, when
    left out."""


def preset_of(settings: Settings) -> Preset:
    """Return what ``settings`` say, and its preset where they say nothing.

    Example:
        >>> preset_of(Settings(preset="fastcut", nce_weight=5.0)).nce_weight
        5.0
        >>> preset_of(Settings()).flip_equivariance
        False
    """
    preset = PRESETS[settings.preset]
    said = {field.name: getattr(settings, field.name) for field in attrs.fields(Preset)}
    return attrs.evolve(preset, **{name: value for name, value in said.items() if value is not None})
