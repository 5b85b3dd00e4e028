"""The recipe ``cyclegan``: nets, losses and who moves when.

References:
    Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks (arXiv 1703.10593).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import i2i.data
from i2i import losses
from i2i.combine import alternate
from i2i.errors import DataError, SettingsError
from i2i.history import replayed
from i2i.protocols import Schedule
from i2i.recipes import Recipe
from i2i.schedules import constant, cosine, linear_decay, step_decay
from i2i.settings import RunSettings
from i2i.step import Step, player
from i2i.terms import cycle, gradient_penalty, identity
from i2i.together import together
from i2i.values import Pair, Translation
from i2i_cyclegan.discriminators import PatchDiscriminator, patch_discriminator
from i2i_cyclegan.generators import ImageGenerator, resnet_generator, unet_generator
from i2i_cyclegan.settings import Settings


class Nets(NamedTuple):
    """``G`` translates A to B, ``F`` B to A; ``DA`` judges domain A, ``DB`` domain B."""

    G: ImageGenerator
    F: ImageGenerator
    DA: PatchDiscriminator
    DB: PatchDiscriminator


class Translated(NamedTuple):
    """What both players look at: fakes, and images translated into the domain they are of already (or None)."""

    fake_b: Translation
    fake_a: Translation
    same_b: Translation | None
    same_a: Translation | None


def build(settings: Settings, run: RunSettings) -> Recipe:
    """Make the recipe.

    Args:
        settings: of the method.
        run: where the data lie, the seed, and how images are read.

    Raises:
        DataError: no data are named, or they cannot be used.
        SettingsError: settings at odds with each other.
    """
    data = functools.cache(lambda: _batches(settings, run))
    per_epoch = 0 if settings.steps is not None and not _counts_epochs(settings) else len(data())
    length = settings.epochs * per_epoch if settings.steps is None else settings.steps
    rate = learning_rate(settings, length, per_epoch)
    return Recipe(
        nets=lambda: make_nets(settings),
        step=make_step(settings, rate),
        data=data,
        length=length,
        preview_batch=lambda: _preview_batch(settings, run),
        preview=preview,
        models=lambda nets: {"a2b": nets.G, "b2a": nets.F},
    )


def make_nets(settings: Settings) -> Nets:
    """Make the four nets, newly initialised, in the authors' order."""
    a, b = settings.channels_a, settings.channels_b
    return Nets(
        G=_generator(settings, a, b), F=_generator(settings, b, a), DA=_judge(settings, a), DB=_judge(settings, b)
    )


def make_step(settings: Settings, lr: float | Schedule) -> Step[Nets, Pair]:
    """Wire the players: the generators move first, the discriminators judge fakes from a pool.

    Args:
        settings: weights, criterion, pool.
        lr: learning rate of both optimisers.

    References:
        Zhu et al., eq. 3 and section 4; identity terms: section 5.2.
    """
    criterion = getattr(losses, settings.criterion)
    with_identity, penalty = settings.identity_weight > 0, settings.penalty

    def translate(n: Nets, x: Pair) -> Translated:
        if not with_identity:
            return Translated(n.G(x.a), n.F(x.b), None, None)
        fake_b, same_b = together(n.G, x.a, x.b)
        fake_a, same_a = together(n.F, x.b, x.a)
        return Translated(fake_b, fake_a, same_b, same_a)

    def generators(n: Nets, x: Pair, shared: Translated) -> dict[str, Tensor]:
        terms = {
            "adv_b": criterion.generator(n.DB(shared.fake_b.image)),
            "adv_a": criterion.generator(n.DA(shared.fake_a.image)),
            "cycle_a": cycle(x.a, n.F(shared.fake_b.image)),
            "cycle_b": cycle(x.b, n.G(shared.fake_a.image)),
        }
        if shared.same_b is not None and shared.same_a is not None:
            terms["identity_b"] = identity(x.b, shared.same_b)
            terms["identity_a"] = identity(x.a, shared.same_a)
        return terms

    def discriminators(n: Nets, x: Pair, shared: Translated) -> dict[str, Tensor]:
        terms = {
            "a": criterion.discriminator(*together(n.DA, x.a, shared.fake_a.image)),
            "b": criterion.discriminator(*together(n.DB, x.b, shared.fake_b.image)),
        }
        if penalty:
            terms["penalty_a"] = gradient_penalty(n.DA, x.a, shared.fake_a)
            terms["penalty_b"] = gradient_penalty(n.DB, x.b, shared.fake_b)
        return terms

    cycles = {"cycle_a": settings.cycle_weight_a, "cycle_b": settings.cycle_weight_b}
    same = {name.replace("cycle", "identity"): weight * settings.identity_weight for name, weight in cycles.items()}
    adam = functools.partial(torch.optim.Adam, betas=(settings.beta1, 0.999))
    g_weights = {"adv_b": 1.0, "adv_a": 1.0} | cycles | (same if with_identity else {})
    d_weights = {"a": 0.5, "b": 0.5} | ({"penalty_a": penalty, "penalty_b": penalty} if penalty else {})
    g: Step[Nets, Pair] = player(lambda n: (n.G, n.F), generators, adam, weights=g_weights, lr=lr)
    d: Step[Nets, Pair] = player(lambda n: (n.DA, n.DB), discriminators, adam, weights=d_weights, lr=lr)
    return alternate(share=translate, live="g", g=g, d=replayed(settings.pool_size, ("fake_b", "fake_a"), d))


def learning_rate(settings: Settings, length: int, per_epoch: int) -> Schedule:
    """Return the learning rate by batch.

    Args:
        settings: ``lr``, ``schedule``, ``decay_start``, ``decay_epochs``, ``reference``.
        length: of the run, in batches.
        per_epoch: batches of an epoch; used by ``schedule="step"`` and ``reference``.

    Differs:
        ``reference`` follows the authors' code, whose rate is set at the start of each epoch: the linear decay begins
        one epoch early and is exactly 0 in the last one, the steps come one epoch early, the cosine climbs again.
    """
    if settings.reference:
        return _reference_rate(settings, -(-length // per_epoch), per_epoch)
    match settings.schedule:
        case "linear":
            return linear_decay(settings.lr, length, start=round(settings.decay_start * length))
        case "step":
            return step_decay(settings.lr, settings.decay_epochs * per_epoch)
        case "cosine":
            return cosine(settings.lr, length)
        case _:
            return constant(settings.lr)


def _reference_rate(settings: Settings, epochs: int, per_epoch: int) -> Schedule:
    """The authors' table by epoch e = 1, 2, ...; their ``n_epochs`` is ``decay_start`` of all epochs."""
    steady = max(1, round(settings.decay_start * epochs))

    def factor(e: int) -> float:
        match settings.schedule:
            case "linear":
                return 1 - max(0, e + 1 - steady) / (epochs - steady + 1)
            case "step":
                return float(0.1 ** (e // settings.decay_epochs))
            case "cosine":
                return cosine(1.0, steady)(_triangle(e, steady))
            case _:
                return 1.0

    return lambda now: settings.lr * factor(now // per_epoch + 1)


def _triangle(e: int, turn: int) -> int:
    """0 ... turn ... 0: where a cosine without an end goes on climbing."""
    return turn - abs(turn - e % (2 * turn))


def preview(nets: Nets, batch: Pair) -> dict[str, Tensor]:
    """Return the columns of a sample grid: both directions, there and back."""
    fake_b, fake_a = nets.G(batch.a).image, nets.F(batch.b).image
    return {
        "A": batch.a,
        "A to B": fake_b,
        "and back": nets.F(fake_b).image,
        "B": batch.b,
        "B to A": fake_a,
        "and back ": nets.G(fake_a).image,
    }


def _counts_epochs(settings: Settings) -> bool:
    return settings.reference or settings.schedule == "step"


def _generator(settings: Settings, channels_in: int, channels_out: int) -> ImageGenerator:
    s = settings
    if s.generator == "resnet":
        return resnet_generator(
            channels_in, channels_out, base_width=s.base_width, blocks=s.blocks, downs=s.downs or 2, norm=s.norm,
            padding=s.padding, dropout=s.dropout, init=s.init, init_gain=s.init_gain,
        )  # fmt: skip
    return unet_generator(
        channels_in, channels_out, base_width=s.base_width, downs=s.downs or 8, norm=s.norm, dropout=s.dropout,
        init=s.init, init_gain=s.init_gain,
    )  # fmt: skip


def _judge(settings: Settings, channels: int) -> PatchDiscriminator:
    s = settings
    return patch_discriminator(
        channels, base_width=s.discriminator_width, layers=s.discriminator_layers, norm=s.discriminator_norm,
        init=s.init, init_gain=s.init_gain,
    )  # fmt: skip


def _reading(settings: Settings, run: RunSettings) -> dict[str, Any]:
    """Return what training and preview have in common; crops that the nets would refuse are refused here."""
    with torch.device("meta"):
        nets = make_nets(settings)
    if settings.preprocess not in ("none", "scale_width"):
        i2i.data.check_multiple(settings.crop_size, nets.G.multiple)
        for setting, net in (("downs", nets.G), ("discriminator_layers", nets.DA)):
            if settings.crop_size < net.smallest:
                raise SettingsError(
                    f"crop_size (={settings.crop_size}) must be at least {net.smallest} for these nets; "
                    f"or take fewer {setting}"
                )
    return {
        "load_size": settings.load_size,
        "crop_size": settings.crop_size,
        "preprocess": settings.preprocess,
        "multiple": nets.G.multiple,
        "channels": (settings.channels_a, settings.channels_b),
        "skip_bad": run.skip_bad,
    }


def _batches(settings: Settings, run: RunSettings) -> i2i.data.Batches[Pair]:
    a, b = _folders(run)
    return i2i.data.unpaired(
        a,
        b,
        flip=settings.flip,
        batch_size=settings.batch_size,
        seed=run.seed,
        workers=run.workers,
        serial=settings.serial,
        max_images=settings.max_images,
        **_reading(settings, run),
    )


def _preview_batch(settings: Settings, run: RunSettings) -> Pair:
    a, b = _folders(run, held_out=True)
    return i2i.data.preview(a, b, **_reading(settings, run))


def _folders(run: RunSettings, *, held_out: bool = False) -> tuple[Sequence[Path], Sequence[Path]]:
    """Return the folders of both domains, those for testing if asked for and there."""
    if bool(run.a) != bool(run.b):
        there, missing = ("a", "b") if run.a else ("b", "a")
        raise DataError(f"--{there} names a folder, --{missing} does not; name one or more folders of both domains")
    if run.a:
        if run.data is not None:
            raise DataError("--data and --a / --b both name images; use one or the other")
        return run.a, run.b
    if run.data is None:
        raise DataError("which images? name a folder with trainA and trainB by --data DIR, or two by --a DIR --b DIR")
    found = i2i.data.find_folders(run.data)
    if held_out and found.test_a is not None and found.test_b is not None:
        return (found.test_a,), (found.test_b,)
    return (found.train_a,), (found.train_b,)
