"""How the networks learn: the discriminator first, then the generator with the projection heads."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn

import i2i
from i2i import Pair, Step, Translation
from i2i.losses import lsgan
from i2i.schedules import linear_decay
from i2i.together import together
from i2i_contrastive.features import FeaturedGenerator
from i2i_contrastive.settings import Settings, preset_of
from i2i_contrastive.terms import mirrored, patch_nce


class Nets(NamedTuple):
    """The networks: ``G`` translates A to B, ``H`` projects its features, ``D`` judges images of B."""

    G: FeaturedGenerator
    H: nn.ModuleList
    D: nn.Module


class Made(NamedTuple):
    """What both players look at.

    Attributes:
        images: the translations of A and, with an identity term, what became of B.
        flipped: for each of these, ``(b,)``: which images were mirrored before; () without flip equivariance.
    """

    images: tuple[Translation, ...]
    flipped: tuple[Tensor, ...]


def build_step(settings: Settings, length: int) -> Step[Nets, Pair]:
    """Say how ``length`` batches are learnt from.

    References:
        Park et al., Contrastive Learning for Unpaired Image-to-Image Translation, eq. 1, 4 and 5; FastCUT: section 4.
    """
    preset = preset_of(settings)
    names = ("nce", "identity") if preset.identity_weight else ("nce",)

    def share(nets: Nets, batch: Pair) -> Made:
        images = (batch.a, batch.b)[: len(names)]
        if not preset.flip_equivariance:
            return Made(together(nets.G, *images), ())
        flipped = tuple(torch.rand(len(image), device=image.device) < 0.5 for image in images)
        turned = [mirrored(image, flips) for image, flips in zip(images, flipped, strict=True)]
        return Made(together(nets.G, *turned), flipped)

    def g_loss(nets: Nets, batch: Pair, made: Made) -> dict[str, Tensor]:
        terms = {"adv": lsgan.generator(nets.D(made.images[0].image))}
        for index, name in enumerate(names):
            fake = made.images[index]
            terms[name] = patch_nce(
                (batch.a, batch.b)[index],
                fake,
                features=nets.G.features,
                heads=nets.H,
                # what the generator saw on its way to the fake; of a mirrored image the source has other features
                keys=None if made.flipped else nets.G.features_of(fake),
                flipped=made.flipped[index] if made.flipped else None,
                patches=settings.patches,
                temperature=settings.temperature,
            )
        return terms

    def d_loss(nets: Nets, batch: Pair, made: Made) -> dict[str, Tensor]:
        return {"adv": lsgan.discriminator(nets.D(batch.b), nets.D(made.images[0].image))}

    adam = functools.partial(torch.optim.Adam, betas=(settings.beta1, 0.999))
    lr = linear_decay(settings.lr, length, start=round(preset.decay_start * length))
    weights = {"nce": preset.nce_weight, "identity": preset.identity_weight}
    g_weights = {"adv": settings.adversarial_weight} | {name: weights[name] for name in names}
    return i2i.alternate(
        share=share,
        live="g",
        d=i2i.player(lambda n: n.D, d_loss, adam, weights={"adv": 0.5}, lr=lr),
        g=i2i.player(lambda n: (n.G, n.H), g_loss, adam, weights=g_weights, lr=lr),
    )
