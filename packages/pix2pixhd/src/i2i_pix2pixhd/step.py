"""The losses of pix2pixHD, who moves when, and how the networks grow.

References:
    Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs (arXiv 1711.11585).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import i2i
from i2i import losses
from i2i.data import Colours
from i2i.protocols import Schedule
from i2i.schedules import linear_decay
from i2i.step import Step
from i2i.values import Instanced, Labelled, Translation, Verdict
from i2i_pix2pixhd.finished import Finished
from i2i_pix2pixhd.multiscale import MultiscaleDiscriminator
from i2i_pix2pixhd.networks import Channels, fixed, moving, new_discriminator, new_model, take_over, with_enhancer
from i2i_pix2pixhd.scene import SceneGenerator
from i2i_pix2pixhd.settings import Settings
from i2i_pix2pixhd.terms import Features, feature_matching, perceptual

Scene = Labelled | Instanced


class Nets(NamedTuple):
    """``G`` makes the image of a scene, ``D`` judges scene and image together at several resolutions."""

    G: SceneGenerator
    D: MultiscaleDiscriminator


class Judged(NamedTuple):
    """What both players look at.

    Attributes:
        fake: what the generator made, ``(b, c, h, w)``.
        on_fake: what the discriminator says of it.
        on_real: what it says of the real image.
    """

    fake: Tensor
    on_fake: Verdict
    on_real: Verdict


def share(n: Nets, x: Scene) -> Tensor:
    """Make the image of a scene, in the styles of the real one where there are styles."""
    instances = instances_of(x)
    features = n.G.encode(x.image, x.labels, instances) if n.G.features else None
    return n.G.render(x.labels, instances, features).image


def judge(n: Nets, x: Scene, fake: Tensor) -> Judged:
    """Let the discriminator look at the fake and at the real image, each together with the scene."""
    instances = instances_of(x)
    edges = [n.G.edges(instances)] if n.G.boundaries else []

    def seen(image: Tensor) -> Verdict:
        verdict: Verdict = n.D(torch.cat([*edges, image], dim=1) if edges else image, x.labels)
        return verdict

    return Judged(fake, seen(fake), seen(x.image))


def instances_of(x: Scene) -> Tensor | None:
    """Return the instance ids ``(b, 1, h, w)`` of a scene, if it has them."""
    return x.instances if isinstance(x, Instanced) else None


def players(
    settings: Settings, lr: Schedule, features: Features | None, trains: Callable[[Nets], Sequence[nn.Module]]
) -> Step[Nets, Scene]:
    """Wire one stage: both players see the nets as they stood before either moved; then the generator moves first.

    Args:
        settings: criterion and weights; a term of weight 0 is left out.
        lr: learning rate of both.
        features: of the perceptual loss; None leaves it out.
        trains: what the generator's player moves.

    References:
        Wang et al., eq. 5; the order is that of the authors' code.
    """
    criterion = getattr(losses, settings.criterion)
    weights = {"adv": settings.adversarial_weight, "matching": settings.matching_weight}
    if features is not None:
        weights["perceptual"] = settings.perceptual_weight
    weights = {name: weight for name, weight in weights.items() if weight}

    def g_loss(n: Nets, x: Scene, judged: Judged) -> dict[str, Tensor]:
        terms = {"adv": criterion.generator(judged.on_fake)}
        if "matching" in weights:
            terms["matching"] = feature_matching(judged.on_real, judged.on_fake)
        if features is not None:
            terms["perceptual"] = perceptual(x.image, Translation(judged.fake), features=features)
        return terms

    def d_loss(n: Nets, x: Scene, judged: Judged) -> dict[str, Tensor]:
        return {"real_or_fake": criterion.discriminator(judged.on_real, judged.on_fake)}

    adam = functools.partial(torch.optim.Adam, betas=(settings.beta1, 0.999))
    return i2i.alternate(
        share=share,
        live="g",
        judge=judge,
        g=i2i.player(trains, g_loss, adam, weights=weights, lr=lr),
        d=i2i.player(lambda n: n.D, d_loss, adam, weights={"real_or_fake": 0.5}, lr=lr),
    )


def learning_rate(settings: Settings, lengths: Sequence[int], stage: int) -> Schedule:
    """Return the learning rate of a stage by its batch: steady, then falling to 0 in a straight line.

    The enhancer and the joint stage have one curve in common; the second goes on where the first ends.

    Args:
        settings: ``lr``, ``decay_start``, the stages.
        lengths: batches of each stage.
        stage: its number.

    References:
        Wang et al., section 4.

    Differs:
        The rate falls batch by batch, not epoch by epoch. In the authors' code of 2019 and later it never falls after
        the global part is set free, and that part stays fixed.
    """
    alone = settings.names[stage] == "global"
    first = stage if alone else len(lengths) - 2
    curve = lengths[first : first + 1] if alone else lengths[first:]
    begun, total = [0, *accumulate(curve)][stage - first], sum(curve)
    rate = linear_decay(settings.lr, total, start=round(settings.decay_start * total))
    return lambda now: rate(begun + now)


def make_step(
    settings: Settings,
    lengths: Sequence[int],
    channels: Channels,
    features: Features | None,
    *,
    palette: Colours | None = None,
    source: Finished | None = None,
    dress: Callable[[SceneGenerator], SceneGenerator] = lambda model: model,
) -> Step[None, Scene]:
    """Make the step of all stages.

    Args:
        settings: of the method.
        lengths: batches of each stage.
        channels: of the images.
        features: of the perceptual loss; None leaves it out.
        palette: the colours of the classes, noted on the model.
        source: the finished global model that is enhanced, where the first stage is the enhancer. Without it that model
            is newly initialised, which suits a run that is resumed.
        dress: notes further things on a new model.
    """

    def grow(k: int, finished: Sequence[Nets]) -> i2i.Stage:
        stage = settings.names[k]
        lr = learning_rate(settings, lengths, k)
        if stage == "global":
            nets = Nets(dress(new_model(settings, channels, palette)), new_discriminator(settings, stage, channels))
            view = half_size if len(settings.names) > 1 else whole_size
            return i2i.Stage(nets, players(settings, lr, features, lambda n: [n.G]), view)
        if stage == "joint":
            (nets,) = finished[-1:]
            nets.G.requires_grad_(True)
            return i2i.Stage(nets, players(settings, lr, features, lambda n: [n.G]))
        known: Mapping[str, Tensor] | None = None if source is None else source.judge
        if finished:
            model, known = finished[-1].G, finished[-1].D.state_dict()
        else:
            model = new_model(settings, channels, palette)
            if source is not None:
                model.load_state_dict(source.model)
        nets = Nets(dress(with_enhancer(settings, model)), new_discriminator(settings, stage, channels))
        if known is not None:
            take_over(nets.D, known)
        fixed(nets.G).requires_grad_(False)
        return i2i.Stage(nets, players(settings, lr, features, lambda n: moving(n.G)))

    return i2i.staged(grow, lengths)


def whole_size(scene: Any) -> Any:
    """Return the scene itself."""
    return scene


def half_size(scene: Scene) -> Scene:
    """Return a scene at half its size: ids of every second pixel, colours by an antialiased bicubic filter."""

    def half(image: Tensor) -> Tensor:
        size = (image.shape[-2] // 2, image.shape[-1] // 2)
        return F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)

    def of(values: Tensor) -> Tensor:
        return half(values) if values.is_floating_point() else values[..., 1::2, 1::2]

    return type(scene)(*map(of, scene))
