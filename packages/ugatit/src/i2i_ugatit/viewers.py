"""The networks that ``i2i ugatit attention`` lets look, and what images they accept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from i2i.errors import DataError, SettingsError
from i2i.fitting import Fitting
from i2i.models import load
from i2i.pixels import TAKEN
from i2i.registry import part, part_of
from i2i.runs import model_folder
from i2i_ugatit.judges import load_judge


class Viewer(NamedTuple):
    """A network that looks at images.

    Attributes:
        net: in eval mode.
        name: what the user calls it.
        judges: it is a discriminator.
    """

    net: nn.Module
    name: str
    judges: bool

    def map_names(self, count: int) -> list[str]:
        """Name its maps: those of judges by how many layers they have, where that tells them apart.

        Example:
            >>> from i2i_ugatit import cam_discriminator
            >>> Viewer(cam_discriminator(base_width=2), "d_a", True).map_names(2)
            ['judge-7', 'judge-5']
        """
        if not self.judges:
            return [""] if count == 1 else [str(index + 1) for index in range(count)]
        layers = getattr(self.net, "layers", None)
        told = layers if isinstance(layers, tuple) and len(set(layers)) == count else range(1, count + 1)
        return [f"judge-{each}" for each in told]


def load_viewers(model: str, direction: str | None, *, judge: bool, device: torch.device) -> list[Viewer]:
    """Load a model, and if asked for the discriminator of the domain that it reads.

    Args:
        model: a run, a model folder, a folder of several models, or a Hub id.
        direction: the key of a model in a run or folder; the first when None.
        judge: see `i2i_ugatit.judges.load_judge`.
        device: where they shall be.

    Raises:
        ModelError: there is no such model, or it is damaged.
        RunError: the run has no model, or no checkpoint, yet.
        SettingsError: there is no such direction or discriminator, or the model reads no images.
    """
    folder = model_folder(model, direction)
    net = load(folder)
    if (taken := TAKEN.get(getattr(net, "takes", None) or "")) is not None:
        raise SettingsError(f"{model} makes images of {taken} and looks at none; name a model that reads images")
    name = part_of(net)
    viewers = [Viewer(net.to(device), model, name is not None and part(name).kind == "discriminator")]
    if judge:
        viewers.append(Viewer(load_judge(model, Path(folder).name).to(device), f"the discriminator of {model}", True))
    return viewers


def check_size(source: Path, size: tuple[int, int], sizes: Fitting, viewers: Sequence[Viewer]) -> None:
    """Check that all viewers accept an image of ``size`` (width, height).

    Generators get what is missing to their least size by reflection. Discriminators do not: they would judge a picture
    that there is not.

    Raises:
        DataError: one does not; the message begins with ``source``.
    """
    sizes.check(size, str(source))
    width, height = sizes.inside(size)
    for viewer in viewers:
        least = getattr(viewer.net, "smallest", 1)
        if viewer.judges and min(width, height) < least:
            raise DataError(
                f"{source} is {width}x{height}, but {viewer.name} judges images of at least {least} pixels on each "
                "side; take larger images"
            )
