"""The losses of SinGAN, who moves when, and how the pyramid grows.

References:
    Shaham, Dekel and Michaeli, SinGAN: Learning a Generative Model from a Single Natural Image (arXiv 1905.01164),
    sections 2.1 and 2.2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

import i2i
from i2i.losses import at_least_float32, wgan
from i2i.protocols import Schedule
from i2i.step import Step
from i2i.values import Single, Verdict
from i2i_singan.coarser import Coarser, drawn, fixed_noise, noise_shape
from i2i_singan.model import Scale
from i2i_singan.networks import ScaleDiscriminator, ScaleGenerator, scale_discriminator, scale_generator
from i2i_singan.norm import joined
from i2i_singan.pyramid import Pyramid
from i2i_singan.settings import Settings
from i2i_singan.stale import Kept


class Nets(NamedTuple):
    """The nets of one scale."""

    G: Scale
    D: ScaleDiscriminator


class Levels(NamedTuple):
    """A batch: the training images ``(n, c, h, w)`` at each scale, coarse to fine."""

    images: tuple[Tensor, ...]


class Fakes:
    """The fakes of all moves of the discriminator, in one pass when the first is asked for: meanwhile G stands still.

    Args:
        inputs: what the generator reads for each move: ``(moves, n, c, h + 2r, w + 2r)``.
        priors: what it adds to: ``(moves, n, c, h, w)``.
    """

    def __init__(self, inputs: Tensor, priors: Tensor) -> None:
        self._inputs, self._priors = inputs, priors
        self._made: Sequence[Tensor] = ()

    def __call__(self, net: ScaleGenerator, move: int) -> Tensor:
        """Return those of a move, ``(n, c, h, w)``."""
        if not self._made:
            made = net(self._inputs.flatten(0, 1), self._priors.flatten(0, 1)).image
            self._made = made.chunk(len(self._inputs))
        return self._made[move]


class Draws(NamedTuple):
    """What the players of one batch look at; all of it made by finished scales and at random.

    Attributes:
        fakes: of the moves of the discriminator.
        shares: of the real images in the mixtures of the gradient penalty: ``(moves, n, 1, 1, 1)``.
        pair: what the generator reads in its own moves: for the last of those fakes, and for the reconstruction.
        pair_priors: what it adds to.
    """

    fakes: Fakes
    shares: Tensor
    pair: Tensor
    pair_priors: Tensor


class Draw(NamedTuple):
    """What the discriminator looks at in one of its moves."""

    fakes: Fakes
    move: int
    share: Tensor


def make_step(settings: Settings, pyramid: Pyramid, levels: Levels) -> Step[None, Levels]:
    """Make the step: scale after scale, each with three moves of the discriminator and three of the generator.

    Args:
        settings: of the method.
        pyramid: sizes and factor.
        levels: the training images.
    """
    grow = functools.partial(_grow, settings, pyramid, levels)
    return i2i.staged(grow, [settings.steps] * len(pyramid.sizes))


def _grow(settings: Settings, pyramid: Pyramid, levels: Levels, k: int, finished: Sequence[Nets]) -> i2i.Stage:
    s = settings
    width, channels = s.width(k), levels.images[k].shape[1]
    net = scale_generator(channels, width=width, layers=s.layers, kernel=s.kernel)
    critic = scale_discriminator(channels, width=width, layers=s.layers, kernel=s.kernel)
    if k and s.width(k - 1) == width:
        net.load_state_dict(finished[-1].G.net.state_dict())
        critic.load_state_dict(finished[-1].D.state_dict())
    image = levels.images[k].to(net.head.conv.weight.device)
    below = [nets.G.settled() if s.settles else nets.G for nets in finished]
    return new_scale(s, net, critic, Coarser(below, pyramid, s, image))


def new_scale(settings: Settings, net: ScaleGenerator, critic: ScaleDiscriminator, coarser: Coarser) -> i2i.Stage:
    """Begin a scale above finished ones; a batch is `Levels`.

    Args:
        settings: of the method.
        net: the generator of the scale.
        critic: its discriminator.
        coarser: the finished scales.
    """
    s, k, image = settings, len(coarser), coarser.image
    prior = coarser.reconstructed()
    scale = Scale(net, image)
    if s.reference:  # the authors draw noise here for a picture that they never make
        unused = drawn(noise_shape(scale, len(image), padding=s.noise_padding), image)
    if k:
        scale.amplitude.copy_(s.noise_weight * (image - prior).square().mean().sqrt())
    elif s.reference:
        scale.noise = unused  # each batch begins with other noise
    else:
        scale.noise = fixed_noise(scale, padding=s.noise_padding)
    scale.prior = coarser.seen(prior)
    step = scale_step(s, lambda nets, _: _draws(s, coarser, nets))
    return i2i.Stage(Nets(scale, critic), step, lambda batch: Single(batch.images[k]))


def scale_step(settings: Settings, share: Callable[[Nets, Single], Draws]) -> Step[Nets, Single]:
    """Make the step of one scale: the WGAN game with a gradient penalty, and the reconstruction.

    Args:
        settings: of the method.
        share: what the players of a batch look at.
    """
    s = settings
    adam = functools.partial(torch.optim.Adam, betas=(s.beta1, 0.999))
    lr = _rate(s)
    judge: Step[Nets, Single] = i2i.player(
        lambda n: n.D, functools.partial(discriminator_loss, per=s.penalty_per), adam,
        weights={"adv": 1.0, "penalty": s.penalty_weight}, lr=lr,
    )  # fmt: skip
    make: Step[Nets, Single] = i2i.player(
        lambda n: n.G, _generator_loss(s), adam, weights={"adv": 1.0, "reconstruction": s.reconstruction_weight}, lr=lr
    )
    return i2i.alternate(
        share=share,
        d=i2i.repeat(s.discriminator_moves, judge, part=lambda draws, k: Draw(draws.fakes, k, draws.shares[k])),
        g=i2i.repeat(s.generator_moves, make),
    )


def discriminator_loss(nets: Nets, batch: Single, draw: Draw, *, per: str) -> dict[str, Tensor]:
    """WGAN with a gradient penalty; real images, fakes and mixtures go through the discriminator in one pass."""
    real, fake = batch.image, draw.fakes(nets.G.net, draw.move).to(batch.image.dtype)
    count = len(real)
    judged, slope = nets.D.sloped(torch.cat((real, fake, torch.lerp(fake, real, draw.share))), count)
    on_real, on_fake = (Verdict((logits,)) for logits in torch.split(judged, count))
    norm = torch.linalg.vector_norm(at_least_float32(slope), dim=1 if per == "pixel" else (1, 2, 3))
    return {"adv": wgan.discriminator(on_real, on_fake), "penalty": F.mse_loss(norm, norm.new_ones(()).expand_as(norm))}


def generator_loss(nets: Nets, batch: Single, draws: Draws) -> dict[str, Tensor]:
    """Be taken for real, and make the training image of the fixed noise; both images in one pass."""
    made = nets.G.net(draws.pair, draws.pair_priors).image
    fake, back = made.chunk(2)
    return {"adv": wgan.generator(nets.D(fake)), "reconstruction": F.mse_loss(back, batch.image)}


def _generator_loss(settings: Settings) -> Callable[[Nets, Single, Draws], Mapping[str, Tensor]]:
    return generator_loss if settings.gradient == "fresh" else Kept(settings.gradient, generator_loss)


def _rate(settings: Settings) -> Schedule:
    s = settings
    return lambda now: s.lr if now < s.decays_after else s.lr * 0.1


def _draws(settings: Settings, coarser: Coarser, nets: Nets) -> Draws:
    """Draw what a batch needs.

    Args:
        settings: of the method.
        coarser: the finished scales.
        nets: of this scale.
    """
    s, scale, prior = settings, nets.G, nets.G.prior
    count, moves = len(prior), s.discriminator_moves
    if scale.noise is not None and s.redraws:
        scale.noise.copy_(fixed_noise(scale, padding=s.noise_padding))
    noise = drawn(noise_shape(scale, count, padding=s.noise_padding), prior)
    rounds = moves if s.reference else 1  # the authors draw for one move after the other
    noises, shares = [], []
    for _ in range(rounds):
        noises.append(coarser.noises(moves // rounds))
        shares.append(torch.rand(moves // rounds, count, 1, 1, 1, dtype=prior.dtype, device=prior.device))
    if len(coarser):
        made = coarser.made([joined(each) for each in zip(*noises, strict=True)])
        priors = torch.unflatten(coarser.seen(made), 0, (moves, count))
    else:
        priors = prior.new_zeros(moves, *prior.shape)
    inputs = scale.inputs(priors, noise)
    pair = torch.cat((inputs[-1], scale.inputs(prior, scale.noise)))
    return Draws(Fakes(inputs, priors), joined(shares), pair, torch.cat((priors[-1], prior)))
