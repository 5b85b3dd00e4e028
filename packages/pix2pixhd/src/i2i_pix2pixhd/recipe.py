"""The recipe ``pix2pixhd``: data, stages, previews and models; the losses are in `i2i_pix2pixhd.step`.

References:
    Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs (arXiv 1711.11585).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

import i2i
import i2i.data
from i2i.checkpoint import latest
from i2i.errors import SettingsError
from i2i.recipes import Evaluation, Recipe, Span
from i2i.settings import RunSettings
from i2i_pix2pixhd.finished import read_finished
from i2i_pix2pixhd.networks import Channels, new_discriminator, new_model, with_enhancer
from i2i_pix2pixhd.scene import SceneGenerator
from i2i_pix2pixhd.settings import Settings
from i2i_pix2pixhd.step import Scene, half_size, make_step, share
from i2i_pix2pixhd.vgg import SMALLEST, UNTRAINED, check_channels, vgg19


def build(settings: Settings, run: RunSettings) -> Recipe:
    """Make the recipe.

    Args:
        settings: of the method.
        run: where the data lie, the seed, and how images are read.

    Raises:
        DataError: no data are named, or they cannot be used.
        ModelError: the weights of VGG19 or the model to be enhanced cannot be used.
        SettingsError: settings at odds with each other.
    """
    channels = channels_of(settings)
    features = None
    if settings.perceptual:
        check_channels(channels.image)
        weights = UNTRAINED if settings.vgg_untrained else settings.vgg
        features = vgg19(weights, checksum=settings.vgg_checksum)
    resumed = run.resume and run.out is not None and latest(run.out) is not None
    # What is resumed comes from its checkpoint: the model that it began with may be gone by then.
    source = None if settings.from_ is None or resumed else read_finished(settings, channels)
    prepared = prepare(settings, run, channels)
    colours = prepared.palette()
    palette = None if settings.colours is None else colours
    if palette is not None and len(palette) != settings.labels:
        raise SettingsError(
            f"{settings.colours} has {len(palette)} colours, not {settings.labels}; use --labels {len(palette)}"
        )
    lengths = settings.lengths(1 if settings.steps else prepared.epoch())

    def dress(model: SceneGenerator) -> SceneGenerator:
        reads, writes = prepared.formats()
        model.writes = writes  # type: ignore[assignment]
        if reads is not None:
            model.reads = reads  # type: ignore[assignment]
        return model

    step = make_step(settings, lengths, channels, features, palette=palette, source=source, dress=dress)
    return Recipe(
        nets=lambda: None,
        step=step,
        data=prepared.batches,
        length=sum(lengths),
        preview_batch=prepared.preview,
        preview=functools.partial(preview, settings, colours),
        models=lambda nets: {"": nets.current.G},
        evaluation=Evaluation(batches=prepared.held_out, results=functools.partial(results, settings), paired=True),
        stages=[Span(length, _work(name), name) for name, length in zip(settings.names, lengths, strict=True)],
    )


def channels_of(settings: Settings) -> Channels:
    """Return the channels of a scene that is an image itself, and of the image that is made."""
    scene, image = settings.both_channels
    return Channels(0 if settings.labels else scene, image)


def prepare(settings: Settings, run: RunSettings, channels: Channels) -> i2i.data.PreparedScenes:
    """Find the data, and check what the nets need of them; nothing is read yet."""
    with torch.device("meta"):
        small = new_model(settings, channels, None)
        judges = [new_discriminator(settings, name, channels).smallest for name in settings.names]
        model = small if settings.stages == "global" else with_enhancer(settings, small)
    halved = 2 if settings.names[0] == "global" and len(settings.names) > 1 else 1
    of_generators = max(model.generator.multiple, halved * small.generator.multiple)
    multiple = max(model.multiple, halved * small.multiple)
    smallest = {
        "encoder_downs" if multiple > of_generators else "downs": max(model.smallest, halved * small.smallest),
        "discriminator_layers": max(halved * judges[0], judges[-1]),
    }
    if settings.perceptual:
        smallest["perceptual"] = halved * SMALLEST
    return i2i.data.prepare_scenes(
        run,
        settings,
        labels=settings.labels,
        instances=settings.instances,
        colours=settings.colours,
        batch_size=settings.batch_size,
        multiple=multiple,
        smallest=smallest,
    )


def preview(settings: Settings, colours: i2i.data.Colours | None, nets: i2i.Stages, batch: Scene) -> dict[str, Tensor]:
    """Return the columns of a sample grid: the scene, what is made of it, what it should be."""
    scene = _seen(settings, nets, batch)
    shown = scene.labels if not settings.labels else i2i.data.coloured(scene.labels, colours)
    return {"scene": shown, "made": share(nets.current, scene), "real": scene.image}


def results(settings: Settings, nets: i2i.Stages, batch: Scene) -> Mapping[str, tuple[Tensor, Tensor]]:
    """Return what is made and what it should be, both in full size, so that the figures of all stages compare."""
    made = share(nets.current, _seen(settings, nets, batch)).float()
    size = batch.image.shape[-2:]
    if made.shape[-2:] != size:
        made = F.interpolate(made, size, mode="bicubic", align_corners=False)
    return {"": (made, batch.image)}


def _seen(settings: Settings, nets: i2i.Stages, batch: Scene) -> Scene:
    """Return the scene as the current stage sees it."""
    return half_size(batch) if settings.names[len(nets.finished)] == "global" and len(settings.names) > 1 else batch


def _work(stage: str) -> float:
    """What a batch costs, in units of one of the global stage at the same width; only the time left depends on it."""
    return {"global": 1.0, "enhancer": 2.5, "joint": 3.0}[stage]
