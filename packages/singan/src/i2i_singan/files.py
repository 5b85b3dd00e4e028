"""The model that a command or an application is given, and where results go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from i2i.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from i2i_singan.model import PyramidGenerator


def load_model(model: str | Path, device: str) -> PyramidGenerator:
    """Load a trained model of SinGAN, in eval mode.

    Args:
        model: a run, its model folder, or a Hub id such as ``owner/name``.
        device: auto, cpu, cuda, cuda:N, xpu or mps.

    Raises:
        ModelError: there is no model, it is damaged, or another recipe trained it.
        RunError: the run has no model yet.
        SettingsError: there is no such device.
    """
    from i2i.devices import usable_device
    from i2i.models import load
    from i2i.runs import model_folder
    from i2i_singan.model import PyramidGenerator

    place = usable_device(device)
    net = load(model_folder(str(model), None))
    if not isinstance(net, PyramidGenerator):
        raise ModelError(f"{model} is no model of SinGAN (it holds a {type(net).__name__}); name one that "
                         "i2i train singan made")  # fmt: skip
    return net.to(place)


def folder(out: Path) -> Path:
    """Return the folder for results; it is made if needed.

    Raises:
        RunError: it cannot be made.
        SettingsError: a file has that name.
    """
    from i2i.files import writing

    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out} is a file; name a folder for the results")
    with writing(out, "nothing was written"):
        out.mkdir(parents=True, exist_ok=True)
    return out


def write(
    images: Iterable[Tensor], out: Path, names: Iterable[str], model: PyramidGenerator, *, reference: bool = False
) -> list[Path]:
    """Write images as the model says that they lie in files: PNG, or TIFF where that does not hold them.

    Args:
        images: one after the other, each ``(c, h, w)``, nominally in ``[-1, 1]``; they may be made only now.
        out: the folder; files of these names are written over.
        names: of the files, without suffix.
        model: whose images they are.
        reference: cut decimals off instead of rounding, as the authors' code.

    Returns:
        What was written.

    Raises:
        RunError: the disk is full, ...; the files before are complete.
    """
    from i2i.data import can_hold, write_image, written_channels
    from i2i.files import writing
    from i2i.pixels import formats_of

    pixels = formats_of(model)[1]
    suffix = ".png" if can_hold(".png", written_channels(pixels), pixels.depth) else ".tif"
    written = []
    for image, name in zip(images, names, strict=True):
        path = folder(out) / f"{name}{suffix}"
        with writing(path, "what was written before is intact"):
            write_image(image, path, pixels, reference=reference)
        written.append(path)
    return written
