"""One scale of a trained model, trained anew on coarser images in few colours: what quantised painting needs.

A painting has few colours and hard edges, and what the scales below make has neither; a scale that is trained on it in
the few colours takes both alike.

References:
    Shaham, Dekel and Michaeli, SinGAN: Learning a Generative Model from a Single Natural Image (arXiv 1905.01164),
    supplementary section 4 (paint to image).
"""

from __future__ import annotations

import functools
from typing import Any

import attrs

import i2i
from i2i.errors import SettingsError
from i2i.pixels import formats_of
from i2i.step import Step
from i2i_singan.coarser import Coarser
from i2i_singan.model import PyramidGenerator, Scale, assembled
from i2i_singan.networks import scale_discriminator, scale_generator
from i2i_singan.palette import palette, quantised
from i2i_singan.pyramid import Pyramid
from i2i_singan.settings import Settings
from i2i_singan.step import Levels, new_scale


def quantised_step(settings: Settings, model: PyramidGenerator) -> Step[None, Levels]:
    """Make the step that trains one scale from the beginning, above the trained ones of ``model``.

    Args:
        settings: of the method; ``quantised_scale`` and ``colours`` are set. What the model has fixed (layers, noise at
            the border, how images are resized) is as there.
        model: a trained one, on the device of the run; it is not changed.

    Raises:
        SettingsError: the model has no such scale above the coarsest, or norms of another kind.

    Differs:
        From the authors' code: a pixel gets the nearest colour of the palette. They fit k-means anew to every coarser
        image, its border of zeros included, and take the old colours of the new groups.
    """
    k = settings.quantised_scale
    if k is None or not 1 <= k < len(model):
        raise SettingsError(f"quantised_scale (={k}) must lie between 1 and {len(model) - 1}, the scales of this model")
    if not model[k].net.local:
        raise SettingsError("this model has norms of another kind; only those of SinGAN can be trained anew")
    s = attrs.evolve(settings, reference=model.reference, noise_padding=model.noise_padding)
    pyramid, image = Pyramid(model.sizes, model.factor), model[k].image
    few = palette(image, s.colours, reference=s.reference)

    def grow(_: int, finished: object) -> i2i.Stage:
        body = model[k].net
        shape: dict[str, Any] = {"layers": len(body.blocks()) + 1, "kernel": body.head.conv.kernel_size[0]}
        channels, width = body.in_channels, body.head.conv.out_channels
        net = scale_generator(channels, width=width, **shape)
        critic = scale_discriminator(channels, width=width, **shape)
        seen = functools.partial(quantised, palette=few, reference=s.reference)
        return new_scale(s, net, critic, Coarser(list(model)[:k], pyramid, s, image, seen))

    return i2i.staged(grow, [s.steps])


def with_scale(model: PyramidGenerator, k: int, scale: Scale) -> PyramidGenerator:
    """Return ``model`` with another scale ``k``; the other scales are shared."""
    scales = list(model)
    scales[k] = scale
    made = assembled(scales, model.factor, noise_padding=model.noise_padding, reference=model.reference)
    made.reads, made.writes = formats_of(model)  # type: ignore[assignment]
    return made
