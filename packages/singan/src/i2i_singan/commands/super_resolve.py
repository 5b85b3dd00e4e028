"""``i2i singan super-resolve``: the training image, enlarged; and how that compares with bicubic interpolation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from i2i.errors import DataError, SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from i2i_singan.apps.super_resolve import Figures
    from i2i_singan.model import PyramidGenerator


def super_resolve(
    model: str,
    /,
    *,
    out: Path,
    factor: float = 4.0,
    truth: Path | None = None,
    steps: int | None = None,
    noise: bool = True,
    seed: int = 0,
    tile: int = 512,
    device: str = "auto",
) -> None:
    """Enlarge the training image of a model, with details such as it has at its own size.

    A model is trained for this first, and kept beside the given one; stopped, the same command goes on with it. What
    is written is compared with bicubic interpolation, which is written as well.

    Args:
        model: a run or model of SinGAN.
        out: folder for the enlarged images.
        factor: how much larger, above 1; need not be whole.
        truth: the training image in its full size, where there is one: what both results are compared with.
        steps: batches of each scale of that training; as many as the run of the model had when left out.
        noise: add noise with the details, as the paper does.
        seed: of the noise.
        tile: make large images in tiles of this side, to save memory; the result is the same.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
    """
    from i2i_singan.apps import super_resolve as apps
    from i2i_singan.files import folder, load_model, write
    from i2i_singan.pyramid import enlargements

    enlargements(factor)
    source = load_model(model, "cpu")
    plain = apps.bicubic(source[-1].image, factor)
    full = None if truth is None else _read(truth, source, plain, factor)
    bicubic = apps.figures(plain, full)  # before the training: what this needs and lacks is said now
    folder(out)
    made = apps.super_resolve(model, factor, steps=steps, noise=noise, seed=seed, tile=tile, device=device)
    for images, name in ((made, "super-resolution"), (plain, "bicubic")):
        numbers = [f"-{index + 1}" if len(images) > 1 else "" for index in range(len(images))]
        for path in write(images, out, [f"{name}-{factor:g}{number}" for number in numbers], source):
            print(path)
    print(_told(apps.figures(made, full), bicubic))


def _read(path: Path, model: PyramidGenerator, plain: Tensor, factor: float) -> Tensor:
    """Read the truth, ``(1, c, h, w)``."""
    from i2i.data import MisfitError, read_image, to_tensor
    from i2i.pixels import formats_of

    if len(plain) > 1:
        raise SettingsError(f"--truth is compared with one image, but this model was trained on {len(plain)}")
    reads = formats_of(model)[0]
    try:
        image = to_tensor(read_image(path, reads), reads)[None]
    except DataError as error:
        if isinstance(misfit := error.__cause__, MisfitError):
            raise DataError(f"{path} {misfit.by_model}") from error
        raise
    (height, width), (found_height, found_width) = plain.shape[2:], image.shape[2:]
    if max(abs(height - found_height), abs(width - found_width)) >= factor:
        raise DataError(
            f"{path} is {found_width}x{found_height}, but the enlarged image {width}x{height}; name the training image "
            "in that size, or another --factor"
        )
    return image


def _told(made: Figures, bicubic: Figures) -> str:
    """Say what was measured, and what it does not mean."""
    ratio = f"{made.sharpness / bicubic.sharpness:.2f}" if bicubic.sharpness else "inf"
    if made.psnr is None or bicubic.psnr is None:
        return f"{ratio} times as sharp as bicubic; whether its details are right, only --truth FILE can tell"
    rows = [
        f"{name:<18}{psnr:6.2f} dB   {sharpness:.2f} of the truth's"
        for name, (sharpness, psnr) in (("super-resolution", made), ("bicubic", bicubic))
    ]
    apart = made.psnr - bicubic.psnr
    than = "further from" if apart < 0 else "closer to"
    said = f"{ratio} times as sharp as bicubic, and {abs(apart):.2f} dB {than} the truth"
    return "\n".join([f"{'':<18}{'PSNR':>9}   sharpness", *rows, said])
