"""The recipe ``ugatit``: nets, data and learning rate; the losses are in `i2i_ugatit.step`.

References:
    Kim et al., U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive Layer-Instance Normalization for
    Image-to-Image Translation, 2020 (arXiv 1907.10830).
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

import i2i.data
from i2i.directions import evaluation, with_formats
from i2i.protocols import Schedule
from i2i.recipes import Recipe
from i2i.schedules import linear_decay
from i2i.settings import RunSettings
from i2i.values import Pair
from i2i_ugatit.discriminators import CamDiscriminator, cam_discriminator
from i2i_ugatit.generators import CamGenerator, cam_generator
from i2i_ugatit.heatmaps import overlay
from i2i_ugatit.settings import Settings
from i2i_ugatit.step import Nets, make_step
from i2i_ugatit.terms import HEATMAP

#: How the article lets images vary: those of A less than those of B.
WINDOWS = (
    i2i.data.Window(0.9, across=(-0.05, 0.05), down=(-0.05, 0.05)),
    i2i.data.Window(0.7, across=(-0.1, 0.1), down=(-0.1, 0.25)),
)


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
    passes = settings.passes
    length = settings.batches if passes is None else passes * len(prepared.batches())
    return Recipe(
        nets=lambda: with_formats(make_nets(settings), prepared),
        step=make_step(settings, learning_rate(settings, length)),
        data=prepared.batches,
        length=length,
        preview_batch=prepared.preview,
        preview=preview,
        models=lambda nets: {"a2b": nets.G, "b2a": nets.F},
        evaluation=evaluation(prepared),
    )


def make_nets(settings: Settings) -> Nets:
    """Make the four nets, newly initialised."""
    a, b = settings.both_channels
    return Nets(
        G=_generator(settings, a, b),
        F=_generator(settings, b, a),
        DA=_discriminator(settings, a),
        DB=_discriminator(settings, b),
    )


def learning_rate(settings: Settings, length: int) -> Schedule:
    """Return the learning rate by batch: constant, then falling in a straight line.

    Args:
        settings: ``lr``, ``decay_start``, ``reference``.
        length: batches of the run.

    Differs:
        ``reference`` follows the authors' PyTorch code, which lowers the rate before each step of the second half: the
        last step has the rate 0. With an odd number of steps theirs is below 0 then, ours 0. Otherwise the last step
        still trains, as in the article's code.

    Example:
        >>> from i2i_ugatit.settings import Settings
        >>> for reference in (False, True):
        ...     rate = learning_rate(Settings(lr=1.0, reference=reference), 4)
        ...     print([rate(now) for now in range(4)])
        [1.0, 1.0, 1.0, 0.5]
        [1.0, 1.0, 0.5, 0.0]
    """
    if not settings.reference:
        return linear_decay(settings.lr, length, start=round(settings.decay_start * length))
    half = max(length // 2, 1)
    return lambda now: settings.lr * max(0.0, 1 - max(0, now + 1 - half) / half)


def preview(nets: Nets, batch: Pair) -> dict[str, Tensor]:
    """Return the columns of a sample grid: both directions, and where the nets look."""
    columns: dict[str, Tensor] = {}
    for source, other, forth, back, judge in (
        (batch.a, "B", nets.G, nets.F, nets.DA),
        (batch.b, "A", nets.F, nets.G, nets.DB),
    ):
        own = "A" if other == "B" else "B"
        made = forth(source)
        columns |= {own: source, f"{own} to {other}: where": overlay(source, made.extras[HEATMAP])}
        columns |= {f"{own} to {other}": made.image, f"and back to {own}": back(made.image).image}
        for heatmap, layers in zip(judge(source).extras[HEATMAP], judge.layers, strict=True):
            columns[f"judge of {own}, {layers} layers"] = overlay(source, heatmap)
    return columns


def _generator(settings: Settings, channels_in: int, channels_out: int) -> CamGenerator:
    size = (settings.crop_size, settings.crop_size) if settings.head == "full" else None
    return cam_generator(
        channels_in, channels_out, base_width=settings.base_width, blocks=settings.depth, head=settings.head,
        size=size, init=settings.drawn, recompute=settings.recompute,
    )  # fmt: skip


def _discriminator(settings: Settings, channels: int) -> CamDiscriminator:
    s = settings
    return cam_discriminator(channels, base_width=s.discriminator_width, layers=s.discriminator_layers, init=s.drawn)


def _prepare(settings: Settings, run: RunSettings) -> i2i.data.Prepared:
    with torch.device("meta"):
        nets = make_nets(settings)
    return i2i.data.prepare(
        run,
        attrs.evolve(settings, load_size=settings.loaded, flip=settings.flip and not settings.windows),
        batch_size=settings.batch_size,
        multiple=nets.G.multiple,
        smallest={"blocks": nets.G.smallest, "discriminator_layers": nets.DA.smallest},
        windows=WINDOWS if settings.windows else (None, None),
    )
