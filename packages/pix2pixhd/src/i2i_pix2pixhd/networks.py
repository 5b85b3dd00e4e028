"""The networks of a training: from settings, and from those of the stage before.

References:
    Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs (arXiv 1711.11585).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, cast

from torch import Tensor, nn

from i2i.data import Colours
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.generators import GlobalGenerator, LocalEnhancer, enhanced, global_generator
from i2i_pix2pixhd.multiscale import MultiscaleDiscriminator, multiscale_discriminator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator
from i2i_pix2pixhd.settings import Settings, StageName

_SCALE = re.compile(r"scale(-?\d+)_")


class Channels(NamedTuple):
    """Of the images: ``scene`` where it is an image itself (else 0), and ``image``, which is made."""

    scene: int
    image: int


def new_model(settings: Settings, channels: Channels, palette: Colours | None) -> SceneGenerator:
    """Make the global network, and what finds styles."""
    s = settings
    encoder = None
    if s.styles:
        encoder = feature_encoder(
            channels.image, s.features, base_width=s.encoder_width, downs=s.encoder_downs, norm=s.norm,
            upsampling=s.upsampling, padding=s.padding,
        )  # fmt: skip
    generator = global_generator(
        channels.scene + s.edges + (s.features if s.styles else 0), channels.image, labels=s.labels,
        base_width=s.base_width, downs=s.downs, blocks=s.blocks, norm=s.norm, upsampling=s.upsampling,
        padding=s.padding, recompute=s.recompute,
    )  # fmt: skip
    return scene_generator(generator, encoder, boundaries=s.edges, palette=palette)


def new_discriminator(settings: Settings, stage: StageName, channels: Channels) -> MultiscaleDiscriminator:
    """Make the discriminator of a stage."""
    s = settings
    return multiscale_discriminator(
        channels.scene + s.edges + channels.image, labels=s.labels, base_width=s.discriminator_width,
        layers=s.discriminator_layers, scales=s.scales(stage), norm=s.norm, recompute=s.recompute,
    )  # fmt: skip


def with_enhancer(settings: Settings, model: SceneGenerator) -> SceneGenerator:
    """Put an enhancer around the generator of a finished global model.

    What finds styles, and the layers of the global network, are those of the model itself: nothing is there twice.
    """
    assert isinstance(model.generator, GlobalGenerator)  # for the type checker: `read_finished` has checked it
    generator = enhanced(model.generator, local_blocks=settings.local_blocks, recompute=settings.recompute)
    layers, trained = cast(nn.Sequential, generator.model), cast(nn.Sequential, model.generator.model)
    for place in range(len(layers)):
        layers[place] = trained[place]
    return scene_generator(generator, model.encoder, boundaries=model.boundaries, palette=model.palette)


def fixed(model: SceneGenerator) -> nn.Module:
    """Return the global part of an enhanced model."""
    return cast(LocalEnhancer, model.generator).model


def moving(model: SceneGenerator) -> list[nn.Module]:
    """Return what moves while the global part is fixed: the enhancer, and what finds styles."""
    encoder = [] if model.encoder is None else [model.encoder]
    return [*cast(LocalEnhancer, model.generator).local_parts(), *encoder]


def take_over(judge: MultiscaleDiscriminator, known: Mapping[str, Tensor]) -> None:
    """Give a discriminator the weights of the one that judged at half the size: each scale keeps its resolution.

    The finest scale that is known judged the full size, which is half of it now. What has no place or another shape is
    left out; a discriminator of one scale takes up the coarsest one.

    Args:
        judge: the new discriminator.
        known: the state of the one before, in whose names scales are counted from the coarsest one.
    """
    own = judge.state_dict()
    counts = [1 + max(int(_SCALE.match(key)[1]) for key in state) for state in (own, known)]  # type: ignore[index]
    shift = 0 if counts[0] == 1 else counts[0] - 1 - counts[1]
    moved = {_SCALE.sub(lambda found: f"scale{int(found[1]) + shift}_", key): value for key, value in known.items()}
    fitting = {key: value for key, value in moved.items() if key in own and own[key].shape == value.shape}
    judge.load_state_dict({**own, **fitting})
