"""The recipe ``singan``: data, previews and models; the losses are in `i2i_singan.step`.

References:
    Shaham, Dekel and Michaeli, SinGAN: Learning a Generative Model from a Single Natural Image (arXiv 1905.01164).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import i2i
from i2i.devices import usable_device
from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat
from i2i.policy import Policy
from i2i.recipes import Recipe, Span
from i2i.settings import RunSettings
from i2i.step import Step
from i2i_singan.files import load_model
from i2i_singan.images import read_training
from i2i_singan.model import PyramidGenerator, Scale, assembled
from i2i_singan.pyramid import Pyramid, levels, plan, plan_super_resolution
from i2i_singan.quantised import quantised_step, with_scale
from i2i_singan.sampling import generate, reconstruct
from i2i_singan.settings import Settings
from i2i_singan.step import Levels, make_step

_SAMPLES = 3  # in a picture
# What a batch costs beside its arithmetic, in the unit of `spans`: an accelerator is through with a small scale before
# Python has launched the next kernel (a thousand of them take the time of 300 GFLOP). Only the time left depends on it.
_WAIT, _LONG_WAIT = {"cpu": 2e5}, 1e8
_ALIKE = 1.5 * 2 / 255  # between one and two of 256 levels: readers of JPEG files and devices differ by one at most


def build(settings: Settings, run: RunSettings) -> Recipe:
    """Make the recipe.

    Args:
        settings: of the method.
        run: names the image, or a folder of several images of one kind; for a quantised scale, the trained model.

    Raises:
        DataError: no image is named, it cannot be read, or it is too small.
        SettingsError: settings at odds with each other.
    """
    if run.data is None:
        raise SettingsError("which image? name it: --data IMAGE (or a folder of several images of one kind)")
    if run.accumulate > 1 and settings.gradient != "fresh":
        raise SettingsError(f"accumulate (={run.accumulate}) needs generator_gradient fresh, not {settings.gradient}")
    if settings.quantised_scale is not None:
        return _quantised(settings, load_model(run.data, run.device), settings.quantised_scale, run.data)
    images, pixels = read_training(run.data, settings, skip_bad=run.skip_bad)
    pyramid = planned(images, settings)
    batch = Levels(levels(images.to(usable_device(run.device)), pyramid, reference=settings.reference))
    model = functools.partial(model_of, settings, pyramid, pixels)
    return Recipe(
        nets=lambda: None,
        step=checked(make_step(settings, pyramid, batch), batch.images, run.data),
        data=lambda: Always(batch),
        length=settings.steps * len(pyramid.sizes),
        preview_batch=lambda: batch,
        preview=lambda nets, _: preview(model(nets)),
        models=lambda nets: {"": model(nets)},
        stages=spans(settings, pyramid, usable_device(run.device).type),
    )


def _quantised(settings: Settings, trained: PyramidGenerator, k: int, source: str | Path) -> Recipe:
    """Make the recipe for one scale of a trained model, the result of which is that model with the new scale."""

    def model(nets: i2i.Stages) -> PyramidGenerator:
        return with_scale(trained, k, nets.current.G.settled() if settings.settles else nets.current.G)

    batch = Levels(tuple(scale.image for scale in trained))
    return Recipe(
        nets=lambda: None,
        step=checked(quantised_step(settings, trained), batch.images[k:], source),
        data=lambda: Always(batch),
        length=settings.steps,
        preview_batch=lambda: batch,
        preview=lambda nets, _: preview(model(nets)),
        models=lambda nets: {"": model(nets)},
        stages=[Span(settings.steps, 1.0, "scale")],
    )


def checked(step: Step[None, Levels], images: Sequence[Tensor], source: str | Path) -> Step[None, Levels]:
    """Let a step refuse to go on with other training images than it was begun with.

    Args:
        step: its stages have `Nets`.
        images: the training images ``(n, c, h, w)`` of each stage.
        source: what they were read from.

    Returns:
        The step; restoring it raises a DataError that names ``source`` if a training image is another one.
    """

    def init(nets: None, policy: Policy, saved: Mapping[str, Any] | None) -> Any:
        for image, (scale, *_) in zip(images, saved["nets"] if saved else (), strict=False):
            before, now = scale["image"].cpu(), image.cpu()
            if before.shape != now.shape or (before - now).abs().max() > _ALIKE:
                raise DataError(f"{source} is not what this run was begun with: another picture, size or order of "
                                "pictures; put that back, or leave --resume out and choose another --out")  # fmt: skip
        return step.init(nets, policy, saved)

    return step._replace(init=init)


def planned(images: Tensor, settings: Settings) -> Pyramid:
    """Return the pyramid of images ``(n, c, h, w)``.

    Raises:
        DataError: they are too small for it.
    """
    s, (height, width) = settings, images.shape[2:]
    if s.super_resolution_factor is None:
        return plan(height, width, min_size=s.min_size, max_size=s.max_size, scale_factor=s.scale_factor)
    return plan_super_resolution(
        height, width, factor=s.super_resolution_factor, min_size=s.min_size, max_size=s.max_size, reference=s.reference
    )


def model_of(settings: Settings, pyramid: Pyramid, pixels: PixelFormat, nets: i2i.Stages) -> PyramidGenerator:
    """Return what is saved for use: the scales that are trained so far."""
    trained: Sequence[Scale] = [stage.G for stage in (*nets.finished, nets.current)]
    scales = [scale.settled() for scale in trained] if settings.settles else trained
    model = assembled(scales, pyramid.factor, noise_padding=settings.noise_padding, reference=settings.reference)
    model.reads = model.writes = pixels  # type: ignore[assignment]
    return model


def preview(model: PyramidGenerator) -> dict[str, Tensor]:
    """Return the columns of a picture of the newest scale: training image, reconstruction, samples."""
    image = model[-1].image
    samples = torch.unflatten(generate(model, _SAMPLES * len(image)), 0, (len(image), _SAMPLES))
    columns = {"photograph": image, "of the fixed noise": reconstruct(model)[-1]}
    return columns | {f"sample {k + 1}": samples[:, k] for k in range(_SAMPLES)}


def spans(settings: Settings, pyramid: Pyramid, device: str) -> list[Span]:
    """Return the scales as stages of the run; the work of a batch grows with pixels and with width, squared.

    Args:
        settings: of the method.
        pyramid: sizes.
        device: the kind of device, which says how much is waited at small scales.
    """
    work = [h * w * (settings.width(k) ** 2 + 16 * settings.width(k)) for k, (h, w) in enumerate(pyramid.sizes)]
    return [Span(settings.steps, each + _WAIT.get(device, _LONG_WAIT), "scale") for each in work]


class Always:
    """The one batch of a run, again and again; there is no position to save."""

    def __init__(self, batch: Levels) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Levels]:
        yield self._batch

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: every batch is the same."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the run was left."""
