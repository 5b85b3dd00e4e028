"""The recipe ``pix2pixhd``: data, stages, previews and models; the losses are in `i2i_pix2pixhd.step`.

References:
    Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs (arXiv 1711.11585).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor

import i2i
import i2i.data
from i2i import specs
from i2i.checkpoint import latest, load_checkpoint
from i2i.errors import ModelError, SettingsError
from i2i.recipes import Evaluation, Recipe, Span
from i2i.settings import RunSettings
from i2i_pix2pixhd.files import load_model
from i2i_pix2pixhd.scene import SceneGenerator
from i2i_pix2pixhd.settings import Settings
from i2i_pix2pixhd.step import (
    Channels,
    Nets,
    Scene,
    half_size,
    make_step,
    new_discriminator,
    new_model,
    share,
    take_over,
    with_enhancer,
)
from i2i_pix2pixhd.vgg import check_channels, vgg19


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
        features = vgg19(settings.vgg, checksum=settings.vgg_checksum)
    begin = None if settings.from_ is None else finished(settings, channels)
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

    step = make_step(settings, lengths, channels, features, palette=palette, begin=begin, dress=dress)
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
        model = new_model(settings, channels, None)
        judge = new_discriminator(settings, settings.names[-1], channels)
        enhanced = settings.stages != "global"
        if enhanced:
            model = with_enhancer(settings, model)
    return i2i.data.prepare_scenes(
        run,
        settings,
        labels=settings.labels,
        instances=settings.instances,
        colours=settings.colours,
        batch_size=settings.batch_size,
        multiple=model.multiple,
        smallest={"downs": model.smallest, "discriminator_layers": judge.smallest},
    )


def finished(settings: Settings, channels: Channels) -> Callable[[], tuple[SceneGenerator, Nets | None]]:
    """Read the finished global model that a run enhances.

    Returns:
        A call that makes the model anew each time; where a run is named also the nets that it was trained with, as its
        last checkpoint has them.

    Raises:
        ModelError: it is none, or one of another kind of scenes.
    """
    source = settings.from_
    if source is None:
        raise SettingsError("which model? name it: --from MODEL")
    model = load_model(str(source), "cpu").net
    with torch.device("meta"):
        wanted = new_model(settings, channels, None)
    for name in ("labels", "boundaries", "features", "in_channels", "out_channels"):
        has, asked = getattr(model, name), getattr(wanted, name)
        if has != asked:
            raise ModelError(f"{source} has {name} {has}, but the settings of this run say {asked}; give those that it "
                             "was trained with")  # fmt: skip
    saved = latest(source)
    judged = None if saved is None else load_checkpoint(saved[1])["state"]["nets"][-1][1]

    def begin() -> tuple[SceneGenerator, Nets | None]:
        made = cast(SceneGenerator, specs.build(specs.to_json(model.spec), str(source)))  # type: ignore[arg-type]
        made.load_state_dict(model.state_dict())
        if judged is None:
            return made, None
        judge = new_discriminator(settings, "global", channels)
        take_over(judge, judged)
        return made, Nets(made, judge)

    return begin


def preview(settings: Settings, colours: i2i.data.Colours | None, nets: i2i.Stages, batch: Scene) -> dict[str, Tensor]:
    """Return the columns of a sample grid: the scene, what is made of it, what it should be."""
    scene = _seen(settings, nets, batch)
    shown = scene.labels if not settings.labels else i2i.data.coloured(scene.labels, colours)
    return {"scene": shown, "made": share(nets.current, scene), "real": scene.image}


def results(settings: Settings, nets: i2i.Stages, batch: Scene) -> Mapping[str, tuple[Tensor, Tensor]]:
    """Return what is made and what it should be."""
    scene = _seen(settings, nets, batch)
    return {"": (share(nets.current, scene), scene.image)}


def _seen(settings: Settings, nets: i2i.Stages, batch: Scene) -> Scene:
    """Return the scene as the current stage sees it."""
    return half_size(batch) if settings.names[len(nets.finished)] == "global" and len(settings.names) > 1 else batch


def _work(stage: str) -> float:
    """What a batch costs, in units of one of the global stage at the same width; only the time left depends on it."""
    return {"global": 1.0, "enhancer": 2.5, "joint": 3.0}[stage]
