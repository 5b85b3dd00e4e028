"""The settings of the recipe ``pix2pixhd``. No torch here: ``i2i train pix2pixhd --help`` reads only this."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import attrs

from i2i.errors import SettingsError
from i2i.settings import ImageSettings, above, at_least, between

StageName = Literal["global", "enhancer", "joint"]
#: The authors' epochs, by stage.
EPOCHS: dict[StageName, int] = {"global": 200, "enhancer": 10, "joint": 90}


def _are_counts(_: Any, attribute: attrs.Attribute[Any], value: tuple[int, ...]) -> None:
    if any(count < 1 for count in value):
        raise SettingsError(f"{attribute.name} (={' '.join(map(str, value))}) must be 1 or more, for each stage")


def _is_checksum(_: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    if not re.fullmatch("[0-9a-f]{8,64}", value):
        raise SettingsError(f"{attribute.name} (={value}) must be the first 8 to 64 digits of a sha256, in lower case")


@attrs.frozen
class Settings(ImageSettings):
    """pix2pixHD: photographs from label maps, coarse to fine."""

    stages: Literal["all", "global"] = "all"
    """All: the global network at half size, then an enhancer around it, then both together; global: that one alone, at
    full size."""
    from_: str | None = None
    """A finished global model, or the run that made it: train an enhancer around it, then both together."""
    steps: tuple[int, ...] = attrs.field(default=(), validator=_are_counts)
    """Batches: of each stage, or one number for all of them; when left out, as many as --epochs makes."""
    epochs: tuple[int, ...] = attrs.field(default=(), validator=_are_counts)
    """Passes over the data: of each stage, or one number for all; 200 for global, 10 for the enhancer and 90 for both
    together, when left out."""
    batch_size: int = attrs.field(default=1, validator=between(1, 4096))
    """Scenes in a batch."""

    load_size: int = attrs.field(default=1024, validator=between(1, 16384))
    """Width that scenes are brought to, in pixels; 2048 is that of the paper's best results."""
    crop_size: int = attrs.field(default=512, validator=between(1, 16384))
    """Side of the square that the nets see where --preprocess crops, in pixels."""
    preprocess: Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"] = "scale_width"
    """How scenes are brought to size."""

    labels: int = attrs.field(default=35, validator=between(0, 65536))
    """Classes of the label maps, ids 0 and up; 0: there are no label maps, images are translated."""
    colours: Path | None = None
    """A table of the colours of the classes, where label maps are colour images: a line "red green blue" for each."""
    instances: bool = True
    """There are instance maps, in which each object has an id of its own."""
    boundaries: bool = True
    """Show the nets where objects meet: the edges of the instance maps."""
    styles: bool = False
    """Learn a style for each object, which can be chosen later; without instance maps, for each class."""
    features: int = attrs.field(default=3, validator=between(1, 1024))
    """Numbers that make up a style."""
    encoder_width: int = attrs.field(default=16, validator=between(1, 4096))
    """Channels of the first layer of the network that finds styles."""
    encoder_downs: int = attrs.field(default=4, validator=between(1, 8))
    """Halvings in the network that finds styles."""

    base_width: int = attrs.field(default=64, validator=between(2, 4096))
    """Channels of the first layer of the global network; the enhancer has half as many."""
    downs: int = attrs.field(default=4, validator=between(1, 8))
    """Halvings in the global network."""
    blocks: int = attrs.field(default=9, validator=between(0, 1000))
    """Residual blocks of the global network."""
    local_blocks: int = attrs.field(default=3, validator=between(0, 1000))
    """Residual blocks of the enhancer."""
    norm: Literal["instance", "batch"] = "instance"
    """Normalisation in all nets."""
    upsampling: Literal["transposed", "resize"] = "transposed"
    """How resolution is won: by transposed convolutions, or by enlarging and a convolution, against checkerboards."""
    padding: Literal["zero", "reflect"] = "zero"
    """Padding of the halving convolutions; reflect: against blobs at the borders."""
    recompute: bool = False
    """Save memory: compute layers again for the backward pass instead of keeping what they made."""
    discriminator_width: int = attrs.field(default=64, validator=between(1, 4096))
    """Channels of the first layer of the discriminators."""
    discriminator_layers: int = attrs.field(default=3, validator=between(1, 8))
    """Halvings in the discriminators."""
    discriminator_scales: int | None = attrs.field(default=None, validator=between(1, 8))
    """Resolutions at which the last stage is judged; 2 for global alone, else 3, when left out. A global stage that an
    enhancer follows has one less."""

    criterion: Literal["lsgan", "vanilla", "hinge"] = "lsgan"
    """Adversarial loss."""
    adversarial_weight: float = attrs.field(default=1.0, validator=above(0))
    """Weight of the adversarial loss."""
    matching_weight: float = attrs.field(default=10.0, validator=at_least(0))
    """Weight of feature matching in the discriminators; 0 leaves it out."""
    perceptual: bool = True
    """Compare features of VGG19, too."""
    perceptual_weight: float = attrs.field(default=10.0, validator=above(0))
    """Weight of the features of VGG19."""
    vgg: Path | None = None
    """File with the weights of torchvision's vgg19; when left out, the one in torchvision's cache, or fetched there."""
    vgg_checksum: str = attrs.field(default="dcbb9e9d", validator=_is_checksum)
    """How the sha256 of that file begins; another one for weights of another origin."""
    vgg_untrained: bool = False
    """Take weights at random instead, which know nothing; to try things out."""

    lr: float = attrs.field(default=2e-4, validator=above(0))
    """Learning rate of both optimisers."""
    beta1: float = attrs.field(default=0.5, validator=between(0, 0.9999))
    """First moment of Adam."""
    decay_start: float = attrs.field(default=0.5, validator=between(0, 1))
    """Share of the global stage, and of the other two together, after which the rate falls in a straight line."""

    def __attrs_post_init__(self) -> None:
        if self.from_ is not None and self.stages == "global":
            raise SettingsError("from names a finished global model, and stages (=global) trains one; leave one out")
        for name in ("steps", "epochs"):
            given = getattr(self, name)
            if len(given) not in (0, 1, len(self.names)):
                raise SettingsError(
                    f"{name} (={' '.join(map(str, given))}) must be one number, or one for each stage: "
                    f"{' '.join(self.names)}"
                )
        if self.colours is not None and not self.labels:
            raise SettingsError("colours belong to classes, and labels is 0; name their number with --labels")
        if self.vgg is not None and self.vgg_untrained:
            raise SettingsError(f"vgg (={self.vgg}) names weights, and vgg_untrained wants none; leave one out")
        if self.styles and not (self.labels or self.instances):
            raise SettingsError("styles belong to objects: they need label maps or instance maps")
        if self.base_width % 2 and self.names != ("global",):
            raise SettingsError(f"base_width (={self.base_width}) must be even: the enhancer has half as many channels")

    @property
    def names(self) -> tuple[StageName, ...]:
        """The stages, in their order."""
        if self.stages == "global":
            return ("global",)
        return ("enhancer", "joint") if self.from_ is not None else ("global", "enhancer", "joint")

    @property
    def edges(self) -> bool:
        """Whether the nets see boundaries."""
        return self.instances and self.boundaries

    def scales(self, stage: StageName) -> int:
        """Return at how many resolutions a stage is judged.

        Example:
            >>> [Settings().scales("global"), Settings().scales("joint"), Settings(stages="global").scales("global")]
            [2, 3, 2]
        """
        alone = self.stages == "global"
        last = (2 if alone else 3) if self.discriminator_scales is None else self.discriminator_scales
        return last if alone or stage != "global" else max(last - 1, 1)

    def lengths(self, batches_per_epoch: int) -> tuple[int, ...]:
        """Return the batches of each stage.

        Example:
            >>> Settings(epochs=(2, 1, 1)).lengths(10), Settings(steps=(7,)).lengths(10)
            ((20, 10, 10), (7, 7, 7))
        """
        if self.steps:
            return self.steps * (len(self.names) if len(self.steps) == 1 else 1)
        epochs = self.epochs or tuple(EPOCHS[name] for name in self.names)
        return tuple(count * batches_per_epoch for count in epochs * (len(self.names) if len(epochs) == 1 else 1))
