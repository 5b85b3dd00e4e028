"""Animations of one photograph: a random walk of the noise that begins at what gives the photograph.

References:
    Shaham, Dekel and Michaeli, SinGAN: Learning a Generative Model from a Single Natural Image (arXiv 1905.01164),
    section 4, single image animation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from torch import Tensor

from i2i.data import to_array
from i2i.errors import SettingsError
from i2i.films import Frame
from i2i.layers import at_least
from i2i.pixels import formats_of
from i2i_singan.apps.derived import derived, settings_of
from i2i_singan.files import load_model
from i2i_singan.model import PyramidGenerator
from i2i_singan.recipe import planned
from i2i_singan.sampling import TILE, check_start_scale, drawn, folded, noise_shape, prior_at, refine

_MIN_SIZE = 20  # pixels of the short side of the coarsest scale
_SHARE = 0.05  # of new noise at the beginning


def animate(
    model: PyramidGenerator,
    *,
    start_scale: int = 0,
    alpha: float = 0.1,
    beta: float = 0.9,
    frames: int = 100,
    seed: int = 0,
    tile: int = TILE,
) -> Iterator[Tensor]:
    """Return the frames of an animation, made one after the other.

    At each scale from ``start_scale`` on the noise z walks at random, drawn back to the fixed noise z* of the
    photograph: with n new noise, ``z' = alpha z* + (1 - alpha) (z + d)`` and
    ``d = beta (z - z before) + (1 - beta) n``.

    Args:
        model: trained, best with noise that reaches over the border of the images, see `animation_model`.
        start_scale: the scale that the walk begins at; what the coarser ones make stays as it is.
        alpha: how strongly each frame is drawn back to the photograph, 0 to 1.
        beta: how steadily the walk goes on in its direction, 0 to 1.
        frames: how many.
        seed: of the noise, 0 and up.
        tile: larger images go through the nets in tiles of this side.

    Returns:
        Of each frame ``(1, c, h, w)``, not clamped; of several training images the first is animated.

    Raises:
        SettingsError: a number out of range, or a model whose images have channels that a film has not.

    Differs:
        From the authors' code: ``alpha`` counts; theirs has an option for it, but always takes 0.1.
    """
    check_start_scale(len(model), start_scale)
    check_animation(model, alpha=alpha, beta=beta, frames=frames, seed=seed, tile=tile)
    scales = folded(model)
    prior = prior_at(model, scales, start_scale, model.sizes[start_scale])[:1]
    walks = {k: walk(_fixed(model, k), _draws(model, k, seed), alpha, beta) for k in range(start_scale, len(scales))}

    def frame(_: int) -> Tensor:
        made = prior
        for k, noises in walks.items():
            made = made if k == start_scale else model.upsampled(made, model.sizes[k])
            made = refine(scales[k], made, next(noises), tile)
        return made

    return map(frame, range(frames))


def check_animation(model: PyramidGenerator, *, alpha: float, beta: float, frames: int, seed: int, tile: int) -> None:
    """Check what `animate` is asked for, before anything is made.

    Raises:
        SettingsError: a number out of range, or a model whose images have channels that a film has not.
    """
    at_least("frames", frames, 1)
    at_least("tile", tile, 1)
    at_least("seed", seed, 0)
    for name, share in (("alpha", alpha), ("beta", beta)):
        if not 0 <= share <= 1:
            raise SettingsError(f"{name} (={share:g}) must lie between 0 and 1")
    if model.out_channels not in (1, 3):
        raise SettingsError(f"this model makes {model.out_channels} channels; a film has 3 (colour) or 1 (grey)")


def walk(fixed: Tensor, draw: Callable[[int], Tensor], alpha: float, beta: float) -> Iterator[Tensor]:
    """Walk at random around noise that stays the same, from ``0.95 z* + 0.05 n`` on, as the authors' code.

    Args:
        fixed: the noise z*.
        draw: returns noise that can be added to it, for step 0, 1, ...
        alpha: see `animate`.
        beta: see `animate`.

    Yields:
        The noise of frame 1, 2, ...; there is no end.
    """
    before, now, step = fixed, (1 - _SHARE) * fixed + _SHARE * draw(0), 0
    while True:
        step += 1
        change = beta * (now - before) + (1 - beta) * draw(step)
        before, now = now, alpha * fixed + (1 - alpha) * (now + change)
        yield now


def _fixed(model: PyramidGenerator, k: int) -> Tensor:
    """The noise of scale ``k`` that gives the (first) photograph: there is none but at the coarsest scale."""
    scale, shape = model[k], noise_shape(model, k, model.sizes[k])
    return scale.image.new_zeros(shape) if scale.noise is None else scale.noise[:1]


def _draws(model: PyramidGenerator, k: int, seed: int) -> Callable[[int], Tensor]:
    shape, like = noise_shape(model, k, model.sizes[k]), model[k].image
    return lambda step: drawn(seed, step, k, shape).to(like)


def animation_model(model: str | Path, *, steps: int | None = None, device: str = "auto") -> PyramidGenerator:
    """Return the model that the paper animates: noise reaches over the border, and the coarsest scale is small.

    It is trained on the same picture, once, and kept beside the model, as ``RUN/animation``.

    Args:
        model: a model of SinGAN, ``RUN/model``, or its run.
        steps: batches of each scale; None: as many as the run of ``model`` has.
        device: auto, cpu, cuda, cuda:N, xpu or mps.

    Raises:
        I2IError: see `i2i_singan.apps.derived.derived`.
    """
    own = settings_of(model, load_model(model, "cpu"), {})
    return derived(model, "animation", animation_settings(own.min_size), steps=steps, device=device)


def animated_scales(model: str | Path) -> int:
    """Return how many scales the model that `animation_model` trains has."""
    loaded = load_model(model, "cpu")
    own = settings_of(model, loaded, {})
    settings = attrs.evolve(own, **animation_settings(own.min_size))
    return len(planned(loaded[-1].image, settings).sizes)


def animation_settings(min_size: int) -> dict[str, Any]:
    """Return the settings that the paper changes for animation.

    Args:
        min_size: that of the model; one that is smaller than the paper's is kept.

    Example:
        >>> animation_settings(25)
        {'noise_padding': True, 'min_size': 20}
        >>> animation_settings(12)["min_size"]
        12
    """
    return {"noise_padding": True, "min_size": min(_MIN_SIZE, min_size)}


def pictures(model: PyramidGenerator, frames: Iterable[Tensor]) -> Iterator[Frame]:
    """Turn frames ``(1, c, h, w)``, grey or colour, into pictures ``(h, w, 3)`` of 8 bits for a film."""
    writes = attrs.evolve(formats_of(model)[1], depth=8, range=None)
    for frame in frames:
        levels = to_array(frame[0], writes)
        yield np.repeat(levels, 3, axis=2) if levels.shape[2] == 1 else levels
