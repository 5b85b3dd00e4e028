"""The settings of the recipe ``ugatit``. No torch here: ``i2i train ugatit --help`` reads only this."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from i2i.errors import SettingsError
from i2i.settings import ImageSettings, above, at_least, between

PresetName = Literal["pytorch", "article"]


def _are_layers(_: Any, attribute: attrs.Attribute[Any], value: tuple[int, ...]) -> None:
    if not value or any(not 3 <= count <= 16 for count in value):
        said = " ".join(map(str, value)) or "none"
        raise SettingsError(f"{attribute.name} (={said}) must be numbers from 3 to 16, one for each judge, as in 7 5")


@attrs.frozen
class Settings(ImageSettings):
    """U-GAT-IT: two translators that look at what tells the domains apart, learnt from unpaired images."""

    preset: PresetName = "pytorch"
    """Whose defaults: pytorch, the authors' PyTorch code; article, which turned characters into icons: 6 blocks, normal
    weights, random windows of the images instead of crops."""
    steps: int | None = attrs.field(default=None, validator=between(1, 10**9))
    """Batches of the whole run; when left out, as many as --epochs makes, or else a million (40 passes with preset
    article)."""
    epochs: int | None = attrs.field(default=None, validator=between(1, 10**6))
    """Passes over the larger domain, where --steps does not say how long the run is; 40 with preset article."""
    batch_size: int = attrs.field(default=1, validator=between(1, 4096))
    """Images of each domain in a batch."""

    load_size: int = attrs.field(default=0, validator=between(0, 16384))
    """Images are brought to this size before they are cropped, in pixels; 0: 30 more than --crop-size. Windows are cut
    from images as they are."""
    augmentation: Literal["crop", "window"] | None = None
    """How images vary: crop, as --preprocess and --flip say; window, the article's: shifted and enlarged, not mirrored,
    images of B more than those of A. As the preset has it when left out."""

    base_width: int = attrs.field(default=64, validator=between(1, 4096))
    """Channels of the first layer of the generators."""
    blocks: int | None = attrs.field(default=None, validator=between(1, 1000))
    """Residual blocks of the generators before the attention, and as many adaptive ones after it; 4, or 6 with preset
    article, when left out."""
    head: Literal["light", "pooled", "full"] = "light"
    """What the adaptive norms follow: light, the mean of each channel; pooled, 4x4 means; full, every pixel, for images
    of --crop-size alone, at 256 pixels with 268 million weights more per generator."""
    recompute: bool = False
    """Save memory: compute the generators' layers again for the backward pass instead of keeping what they made."""
    discriminator_width: int = attrs.field(default=64, validator=between(1, 4096))
    """Channels of the first layer of the discriminators."""
    discriminator_layers: tuple[int, ...] = attrs.field(default=(7, 5), validator=_are_layers)
    """Layers of each judge in a discriminator, as in --discriminator-layers 6 4; n of them need images of
    3 * 2 ** (n - 2) pixels: 96 for 7."""
    init: Literal["torch", "normal"] | None = None
    """First weights: torch's own, or N(0, 0.02) for convolutions; as the preset has it when left out."""

    criterion: Literal["lsgan", "vanilla", "hinge"] = "lsgan"
    """Adversarial loss, of the discriminators' logits and of those of their attention."""
    adversarial_weight: float = attrs.field(default=1.0, validator=above(0))
    """Weight of the adversarial terms."""
    cycle_weight: float = attrs.field(default=10.0, validator=at_least(0))
    """Weight of the cycles there and back; 0 leaves them out."""
    identity_weight: float = attrs.field(default=10.0, validator=at_least(0))
    """Weight of the identity terms: an image of the target domain should stay itself; 0 leaves them out."""
    cam_weight: float = attrs.field(default=1000.0, validator=at_least(0))
    """Weight of the generators' guess of the domain; less for few images; 0 leaves it out."""

    lr: float = attrs.field(default=1e-4, validator=above(0))
    """Learning rate of both optimisers."""
    beta1: float = attrs.field(default=0.5, validator=between(0, 0.9999))
    """First moment of Adam."""
    weight_decay: float = attrs.field(default=1e-4, validator=at_least(0))
    """Weight decay of Adam, on every weight."""
    decay_start: float = attrs.field(default=0.5, validator=between(0, 1))
    """Share of the run after which the rate falls in a straight line; 1: never."""
    reference: bool = False
    """The authors' learning rate: it falls one batch early, and is 0 in the last one."""

    def __attrs_post_init__(self) -> None:
        a, b = self.both_channels
        for name in ("identity_weight", "cam_weight"):
            if getattr(self, name) and a != b:
                raise SettingsError(
                    f"{name} (={getattr(self, name)}) needs equal channels, not channels_a (={a}) and channels_b "
                    f"(={b}); use {name} 0"
                )
        if self.head == "full" and self.preprocess in ("none", "scale_width"):
            raise SettingsError(
                f"head (=full) is built for one size of images, and preprocess (={self.preprocess}) leaves them of "
                "any; use head pooled, or preprocess resize_and_crop"
            )
        if self.windows and self.load_size not in (0, self.crop_size):
            raise SettingsError(
                f"load_size (={self.load_size}) has no effect on windows, which are cut from the images as they are; "
                "leave it out, or take augmentation crop"
            )
        if self.reference and self.decay_start != 0.5:
            raise SettingsError(
                f"decay_start (={self.decay_start}) is always 0.5 in the authors' code; leave reference out"
            )
        if self.augmentation == "window" and self.preprocess != "resize_and_crop":
            raise SettingsError(
                f"augmentation (=window) takes the place of preprocess (={self.preprocess}); leave one of them out"
            )

    @property
    def loaded(self) -> int:
        """What images are brought to before they are cropped; windows are cut from whole images.

        Example:
            >>> Settings(crop_size=128).loaded, Settings(load_size=300).loaded, Settings(preset="article").loaded
            (158, 300, 256)
        """
        return self.load_size or self.crop_size + (0 if self.windows else 30)

    @property
    def windows(self) -> bool:
        """Whether images vary as in the article."""
        if self.augmentation is None:
            return self.preset == "article" and self.preprocess == "resize_and_crop"
        return self.augmentation == "window"

    @property
    def depth(self) -> int:
        """The blocks before the attention, and after it."""
        return self.blocks or (6 if self.preset == "article" else 4)

    @property
    def drawn(self) -> Literal["torch", "normal"]:
        """How weights begin."""
        return self.init or ("normal" if self.preset == "article" else "torch")

    @property
    def passes(self) -> int | None:
        """Passes over the data that make up the run; None where `batches` says how long it is.

        Example:
            >>> [each.passes for each in (Settings(), Settings(preset="article"), Settings(epochs=2))]
            [None, 40, 2]
        """
        if self.steps is not None:
            return None
        return self.epochs or (40 if self.preset == "article" else None)

    @property
    def batches(self) -> int:
        """Batches of a run that is not counted in `passes`: as many as the authors take when left out."""
        return self.steps or 10**6
