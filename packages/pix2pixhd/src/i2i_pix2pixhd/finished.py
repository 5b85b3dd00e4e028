"""The finished global model that a run begins with: ``--from``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from i2i.checkpoint import latest, load_checkpoint
from i2i.errors import ModelError
from i2i.settings import flag
from i2i_pix2pixhd.files import load_model
from i2i_pix2pixhd.generators import GlobalGenerator
from i2i_pix2pixhd.networks import Channels, new_model
from i2i_pix2pixhd.scene import SceneGenerator
from i2i_pix2pixhd.settings import Settings

_OF_GENERATOR = ("labels", "base_width", "downs", "blocks", "norm", "upsampling", "padding")
_OF_ENCODER = {"features": "features", "encoder_width": "base_width", "encoder_downs": "downs"}


class Finished(NamedTuple):
    """What is known of a finished training: the weights of its model, and of its discriminator where a run is named."""

    model: Mapping[str, Tensor]
    judge: Mapping[str, Tensor] | None


def read_finished(settings: Settings, channels: Channels) -> Finished:
    """Read the model that a run enhances, and check that it is what the settings say.

    Args:
        settings: ``from_``: a model, or a run, whose last checkpoint has the discriminator.
        channels: of the images.

    Raises:
        ModelError: it is none, has an enhancer already, or was trained with other settings; they are named.
    """
    source = str(settings.from_)
    model, judge = _read(source)
    if not isinstance(model.generator, GlobalGenerator):
        raise ModelError(f"{source} has an enhancer already; name a model that was trained with --stages global")
    with torch.device("meta"):
        wanted = new_model(settings, channels, None)
    has, asked = _described(model), _described(wanted)
    different = [name for name in has if has[name] != asked.get(name)]
    if different:
        raise ModelError(
            f"{source} was trained with {_flags(has, different)}, but this run has {_flags(asked, different)}; give "
            "those of the model"
        )
    return Finished(model.state_dict(), judge)


@functools.lru_cache(maxsize=1)  # recipes are built several times for one run
def _read(source: str) -> tuple[SceneGenerator, Mapping[str, Tensor] | None]:
    model = load_model(source, "cpu").net
    saved = latest(Path(source))
    return model, None if saved is None else load_checkpoint(saved[1])["state"]["nets"][-1][1]


def _described(model: SceneGenerator) -> dict[str, Any]:
    """Return the settings that a model follows from."""
    found: dict[str, Any] = {"instances": model.boundaries, "styles": model.encoder is not None}
    found |= {name: model.generator.spec.arguments[name] for name in _OF_GENERATOR}  # type: ignore[union-attr, index]
    if not model.labels:
        found["channels_a"] = model.in_channels
    found["channels_b"] = model.out_channels
    if model.encoder is not None:
        arguments = model.encoder.spec.arguments  # type: ignore[union-attr]
        found |= {name: arguments[own] for name, own in _OF_ENCODER.items()}  # type: ignore[index]
    return found


def _flags(found: Mapping[str, Any], names: list[str]) -> str:
    return " ".join(_shown(name, found.get(name)) for name in names)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return flag(name) if value else f"--no-{flag(name)[2:]}"
    return f"{flag(name)} {'(none)' if value is None else value}"
