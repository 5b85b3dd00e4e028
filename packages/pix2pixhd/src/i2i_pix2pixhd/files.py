"""The model that a command is given, and where results go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from i2i.errors import DataError, ModelError, SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from i2i.policy import Precision
    from i2i_pix2pixhd.scene import SceneGenerator


class Loaded(NamedTuple):
    """A model, the folder that it lies in, and what the user calls it: a run, for example."""

    net: SceneGenerator
    folder: Path
    name: str


def load_model(model: str | Path, device: str) -> Loaded:
    """Load a trained model of pix2pixHD, in eval mode.

    Args:
        model: a run, its model folder, or a Hub id such as ``owner/name``.
        device: auto, cpu, cuda, cuda:N, xpu or mps.

    Raises:
        ModelError: there is no model, it is damaged, or it is no whole generator of scenes.
        RunError: the run has no model yet.
        SettingsError: there is no such device.
    """
    from i2i.devices import usable_device
    from i2i.models import describe, load
    from i2i.runs import model_folder
    from i2i_pix2pixhd.scene import SceneGenerator

    place, found = usable_device(device), model_folder(str(model), None)
    net = load(found)
    if not isinstance(net, SceneGenerator):
        raise ModelError(f"{model} is no model of pix2pixHD (it holds a {type(net).__name__}); name one that "
                         "i2i train pix2pixhd or i2i convert pix2pixhd made")  # fmt: skip
    return Loaded(net.to(place), Path(describe(found)["folder"]), str(model))


def check_folder(out: Path) -> None:
    """Check that results can go into a folder, which is made with the first of them.

    Raises:
        SettingsError: a file has that name.
    """
    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out} is a file; name a folder for the results")


def suffix_of(model: SceneGenerator) -> str:
    """Return the suffix of the files that hold the images of a model: ``.png``, or ``.tif`` where PNG does not."""
    from i2i.data import can_hold, written_channels
    from i2i.pixels import formats_of

    pixels = formats_of(model)[1]
    return ".png" if can_hold(".png", written_channels(pixels), pixels.depth) else ".tif"


def write(image: Tensor, path: Path, model: SceneGenerator) -> Path:
    """Write an image ``(c, h, w)``, nominally in ``[-1, 1]``, as the model says that it lies in a file.

    Args:
        image: the image.
        path: of the file, see `suffix_of`; its folder is made if needed.
        model: whose image it is.

    Returns:
        ``path``.

    Raises:
        RunError: it cannot be written.
    """
    from i2i.data import write_image
    from i2i.files import writing
    from i2i.pixels import formats_of

    with writing(path, "what was written before is intact"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(image, path, formats_of(model)[1])
    return path


def check_targets(targets: Iterable[Path], sources: Iterable[Path | None]) -> None:
    """Check that no result overwrites what it is made of.

    Raises:
        DataError: one would.
    """
    given = {path.resolve() for path in sources if path is not None}
    for target in targets:
        if target.resolve() in given:
            raise DataError(f"{target} would be overwritten; choose another --out")


def number_format(model: SceneGenerator, precision: Literal["auto"] | Precision) -> Precision:
    """Return a number format; ``auto``: the one that is best where the model is."""
    from i2i.policy import best_precision

    return best_precision(next(model.parameters()).device) if precision == "auto" else precision
