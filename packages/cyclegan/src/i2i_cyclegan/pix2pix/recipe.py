"""The recipe ``pix2pix``: nets, data and learning rates; the losses are in `i2i_cyclegan.pix2pix.step`.

References:
    Isola et al., Image-to-Image Translation with Conditional Adversarial Networks (arXiv 1611.07004).
"""

from __future__ import annotations

import functools

import attrs
import torch
from torch import Tensor

import i2i.data
from i2i.data import CHROMA, LIGHTNESS, lab_to_rgb
from i2i.recipes import Evaluation, Recipe
from i2i.settings import RunSettings
from i2i.values import Pair
from i2i_cyclegan.networks import make_discriminator, make_generator
from i2i_cyclegan.pix2pix.settings import Settings
from i2i_cyclegan.pix2pix.step import Nets, make_step
from i2i_cyclegan.rates import learning_rate, length_of, plateau_of


def build(settings: Settings, run: RunSettings) -> Recipe:
    """Make the recipe.

    Args:
        settings: of the method.
        run: where the data lie, the seed, and how images are read.

    Raises:
        DataError: no data are named, or they cannot be used.
        SettingsError: settings at odds with each other.
    """
    prepared = _prepare(settings, run)
    length = length_of(settings, run, prepared)
    of_judge = attrs.evolve(settings, lr=settings.discriminator_lr or settings.lr)
    plateaus = [plateau_of(each, run, higher_is_better=True) for each in (settings, of_judge)]
    rates = [learning_rate(each, length, plateau) for each, plateau in zip((settings, of_judge), plateaus, strict=True)]
    return Recipe(
        nets=lambda: _with_formats(make_nets(settings), prepared),
        step=make_step(settings, *rates),
        data=prepared.batches,
        length=length.batches,
        preview_batch=prepared.preview,
        preview=functools.partial(preview, settings),
        models=lambda nets: {"": nets.G},
        evaluation=Evaluation(
            batches=prepared.held_out,
            results=lambda nets, batch: {"": _made_and_real(settings, nets, batch)},
            paired=True,
            plateaus=tuple(plateau for plateau in plateaus if plateau is not None),
        ),
    )


def make_nets(settings: Settings) -> Nets:
    """Make both nets, newly initialised, in the authors' order."""
    a, b = settings.both_channels
    read, made = (a, b) if settings.direction == "a_to_b" else (b, a)
    nets = Nets(G=make_generator(settings, read, made), D=make_discriminator(settings, a + b))
    if not settings.adversarial_weight:
        nets.D.requires_grad_(False)  # on purpose: no player trains it
    return nets


def preview(settings: Settings, nets: Nets, batch: Pair) -> dict[str, Tensor]:
    """Return the columns of a sample grid: what is read, what is made, what it should be."""
    made, real = _made_and_real(settings, nets, batch)
    return {"input": batch.a, "output": made, "target": real}


def _made_and_real(settings: Settings, nets: Nets, batch: Pair) -> tuple[Tensor, Tensor]:
    """Return what the generator makes and what it should be, as they are looked at: colours are completed to RGB."""
    made = nets.G(batch.a).image
    if not settings.colourise:
        return made, batch.b
    return to_rgb(batch.a, made), to_rgb(batch.a, batch.b)


def to_rgb(lightness: Tensor, chroma: Tensor) -> Tensor:
    """Join lightness ``(b, 1, h, w)`` and chroma ``(b, 2, h, w)``, both in ``[-1, 1]``, to RGB in ``[-1, 1]``.

    Example:
        >>> to_rgb(torch.ones(1, 1, 1, 1), torch.zeros(1, 2, 1, 1)).flatten().round().tolist()
        [1.0, 1.0, 1.0]
    """
    lab = torch.cat(((lightness + 1) * LIGHTNESS, chroma * CHROMA), dim=1)
    return lab_to_rgb(lab.float()) * 2 - 1


def _prepare(settings: Settings, run: RunSettings) -> i2i.data.Prepared:
    with torch.device("meta"):
        nets = make_nets(settings)
    return i2i.data.prepare(
        run,
        settings,
        batch_size=settings.batch_size,
        multiple=nets.G.multiple,
        smallest={"downs": nets.G.smallest, "discriminator_layers": nets.D.smallest},
        layout="one" if settings.colourise else "paired",
        direction=settings.direction,
    )


def _with_formats(nets: Nets, prepared: i2i.data.Prepared) -> Nets:
    """Note on the generator what its images are in files."""
    nets.G.reads, nets.G.writes = prepared.formats()
    return nets
