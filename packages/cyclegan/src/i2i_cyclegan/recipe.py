"""The recipe ``cyclegan``: nets, data and learning rates; the losses are in `i2i_cyclegan.step`.

References:
    Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks (arXiv 1703.10593).
"""

from __future__ import annotations

import torch
from torch import Tensor

import i2i.data
from i2i.directions import evaluation, with_formats
from i2i.recipes import Recipe
from i2i.settings import RunSettings
from i2i.values import Pair
from i2i_cyclegan.networks import make_discriminator, make_generator
from i2i_cyclegan.rates import learning_rate, length_of, plateau_of
from i2i_cyclegan.settings import Settings
from i2i_cyclegan.step import Nets, make_step


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
    plateau = plateau_of(settings, run, higher_is_better=False)
    return Recipe(
        nets=lambda: with_formats(make_nets(settings), prepared),
        step=make_step(settings, learning_rate(settings, length, plateau)),
        data=prepared.batches,
        length=length.batches,
        preview_batch=prepared.preview,
        preview=preview,
        models=lambda nets: {"a2b": nets.G, "b2a": nets.F},
        evaluation=evaluation(prepared, () if plateau is None else (plateau,)),
    )


def make_nets(settings: Settings) -> Nets:
    """Make the four nets, newly initialised, in the authors' order."""
    a, b = settings.both_channels
    nets = Nets(
        G=make_generator(settings, a, b),
        F=make_generator(settings, b, a),
        DA=make_discriminator(settings, a),
        DB=make_discriminator(settings, b),
    )
    if not settings.adversarial_weight:
        for judge in (nets.DA, nets.DB):
            judge.requires_grad_(False)  # on purpose: no player trains them
    return nets


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


def _prepare(settings: Settings, run: RunSettings) -> i2i.data.Prepared:
    with torch.device("meta"):
        nets = make_nets(settings)
    return i2i.data.prepare(
        run,
        settings,
        batch_size=settings.batch_size,
        multiple=nets.G.multiple,
        smallest={"downs": nets.G.smallest, "discriminator_layers": nets.DA.smallest},
    )
