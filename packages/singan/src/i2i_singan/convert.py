"""The authors' folders as models: ``TrainedModels/<name>/<options>``, with all that is not written there inferred.

References:
    The public repository tamarott/SinGAN, which keeps the nets of each scale in a folder of its number, and what they
    share in lists: ``Zs.pth``, ``NoiseAmp.pth``, ``reals.pth``.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, tensor

from i2i.convert import filled, inventory, weights_of
from i2i.errors import ModelError
from i2i.pickles import module_weights, read_checkpoint, read_list
from i2i.pixels import PixelFormat
from i2i_singan.model import PyramidGenerator, pyramid_generator

Weights = Mapping[str, Tensor]
Sizes = tuple[tuple[int, int], ...]

_LISTS = ("reals.pth", "Zs.pth", "NoiseAmp.pth")
_WHOLE = "Gs.pth"
#: The classes of which Gs.pth holds objects.
_CLASSES = (
    "SinGAN.models.GeneratorConcatSkip2CleanAdd",
    "SinGAN.models.ConvBlock",
    "torch.nn.modules.activation.LeakyReLU",
    "torch.nn.modules.activation.Tanh",
    "torch.nn.modules.batchnorm.BatchNorm2d",
    "torch.nn.modules.container.Sequential",
    "torch.nn.modules.conv.Conv2d",
)


def singan(folder: Path) -> dict[str, PyramidGenerator]:
    """Convert a folder of the authors' training.

    Args:
        folder: ``TrainedModels/<name>/<options>``; of super-resolution, animation and quantised paint too.

    Returns:
        One model, by the name of the picture. It resizes between scales as the authors' code does. Where the training
        was interrupted it has the scales that were finished, and a warning says so.

    Raises:
        ModelError: the folder holds something else, a file of it is missing or damaged, or they do not belong together.
    """
    levels, noise, amplitudes = (read_list(path) for path in _lists(folder))
    with _about(folder / "reals.pth"):
        images = [_image(f"level {k}", level) for k, level in enumerate(levels)]
        factor = factor_of(tuple((image.shape[2], image.shape[3]) for image in images))
    count = min(len(noise), len(amplitudes), len(images))
    if count == 0:
        raise ModelError(f"{folder}: no scale of it is trained")
    nets = _nets(folder, count)
    with _about(folder / "NoiseAmp.pth"):
        sigmas = [_scalar(f"entry {k}", value) for k, value in enumerate(amplitudes[:count])]
    with _about(folder / "Zs.pth"):
        z, noise_padding = _noise(noise[0], images[0], reach_of(nets[0]))
    with _about(folder):
        model = _assembled(nets, images[:count], sigmas, z, factor, noise_padding)
    if count < len(images):
        height, width = model.sizes[-1]
        warnings.warn(
            f"{folder}: {count} of {len(images)} scales are trained; the model makes images of {height}x{width}",
            stacklevel=2,
        )
    return {_key(folder): model}


def factor_of(sizes: Sizes) -> float:
    """Return the factor between the scales of a pyramid, which the authors compute and do not write down.

    They bring one side of the finest scale to a whole number of pixels in as many equal steps as there are coarser
    scales, and round the size of each scale up.

    Args:
        sizes: height and width of all scales of the training, from coarse to fine.

    Returns:
        The factor by which a scale is smaller than the next finer one.

    Raises:
        ModelError: no factor gives these sizes.

    Example:
        >>> f"{factor_of(((26, 34), (41, 55), (68, 90), (110, 147))):.6f}"
        '0.610261'

    Differs:
        Early versions of the authors' code go by the height, the last one by the shorter side; both are found.
    """
    steps = len(sizes) - 1
    for coarsest, finest in sorted(zip(sizes[0], sizes[-1], strict=True), key=lambda side: side[1]):
        for smallest in (coarsest, coarsest - 1):  # one less, where a rounding error came before rounding up
            if steps == 0 or not 0 < smallest < finest:
                continue
            factor = (smallest / finest) ** (1 / steps)
            if all(_fits(size, sizes[-1], factor ** (steps - k)) for k, size in enumerate(sizes)):
                return float(factor)
    shown = ", ".join(f"{height}x{width}" for height, width in sizes)
    raise ModelError(f"holds levels of sizes that no pyramid of SinGAN has: {shown}")


def _fits(size: tuple[int, int], finest: tuple[int, int], scale: float) -> bool:
    """Whether sides are those of ``finest``, scaled and rounded up, where machines may differ in the last bit."""
    exact = [side * scale for side in finest]
    return all(math.ceil(x - 1e-9) <= side <= math.ceil(x + 1e-9) for side, x in zip(size, exact, strict=True))


def reach_of(net: Weights) -> int:
    """Return how many pixels the convolutions of a generator take off each side."""
    return (net["head.conv.weight"].shape[-1] // 2) * _layers(net)


def _layers(net: Weights) -> int:
    return 2 + sum(re.fullmatch(r"body\.block\d+\.conv\.weight", key) is not None for key in net)


def _lists(folder: Path) -> list[Path]:
    """The paths of the lists, all of which are there."""
    paths = [folder / name for name in _LISTS]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is None:
        return paths
    inside = sorted(path.parent for depth in ("*", "*/*", "*/*/*") for path in folder.glob(f"{depth}/Zs.pth"))
    hint = f"; name a folder in it, such as {inside[0]}" if inside else ""
    raise ModelError(f"{folder} holds no {missing.name}, which SinGAN's training writes after its first scale{hint}")


def _nets(folder: Path, count: int) -> list[Weights]:
    """The weights of the generators, from the file of each scale or, where one is missing, from all modules in one."""
    paths = [folder / str(k) / "netG.pth" for k in range(count)]
    missing = [path for path in paths if not path.is_file()]
    if not missing:
        return [_generator(path, read_checkpoint(path)) for path in paths]
    whole, names = folder / _WHOLE, ", ".join(f"{path.parent.name}/{path.name}" for path in missing)
    if not whole.is_file():
        raise ModelError(f"{folder} holds {count} scales, but neither {names} nor {_WHOLE}")
    try:
        found = read_list(whole, modules=_CLASSES)
    except ModelError as error:
        raise ModelError(f"{error}; or give the files of the scales that training wrote: {names}") from error
    if len(found) < count:
        raise ModelError(f"{whole}: holds {len(found)} scales, but Zs.pth {count}; they are not of one training")
    with _about(whole):
        weights = [module_weights(module) for module in found[:count]]
    return [_generator(whole, each) for each in weights]


def _generator(path: Path, found: Mapping[str, Any]) -> Weights:
    with _about(path):
        weights = weights_of(found)
        head = weights.get("head.conv.weight")
        if head is None or head.ndim != 4 or "tail.0.weight" not in weights:
            raise ModelError(f"holds no generator of SinGAN; found {inventory(weights)}")
    # A norm here counts no batches: its statistics move by a fixed share.
    return {key: value for key, value in weights.items() if not key.endswith(".num_batches_tracked")}


def _image(name: str, value: Any) -> Tensor:
    image = _tensor(name, value)
    if image.ndim != 4:
        raise ModelError(f"{name} should be an image (1, channels, height, width), not {list(image.shape)}")
    return image


def _scalar(name: str, value: Any) -> Tensor:
    """A number: the authors' list begins with the whole number 1, and goes on with tensors."""
    number = _tensor(name, tensor(float(value)) if isinstance(value, (int, float)) else value)
    if number.numel() != 1:
        raise ModelError(f"{name} should be a number, not {list(number.shape)}")
    return number.reshape(()).float()


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise ModelError(f"{name} should be a tensor, not {type(value).__name__}")
    return weights_of({name: value})[name]


def _noise(value: Any, image: Tensor, reach: int) -> tuple[Tensor, bool]:
    """The noise that gives the image, and whether it reaches over the border.

    What the border holds says so, and not the name of the folder, which may have been changed.
    """
    wanted = (*image.shape[:2], image.shape[2] + 2 * reach, image.shape[3] + 2 * reach)
    if not isinstance(value, Tensor) or value.shape != wanted:
        found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ModelError(f"the noise of the coarsest scale should be {list(wanted)}, with its border, not {found}")
    padded = weights_of({"noise": value.contiguous()})["noise"]  # one channel, seen three times, when it was saved
    inside = padded[:, :, reach : reach + image.shape[2], reach : reach + image.shape[3]]
    if inside.count_nonzero() == padded.count_nonzero():
        return inside.contiguous(), False
    return padded, True


def _assembled(
    nets: Sequence[Weights],
    images: Sequence[Tensor],
    sigmas: Sequence[Tensor],
    noise: Tensor,
    factor: float,
    noise_padding: bool,
) -> PyramidGenerator:
    head = nets[0]["head.conv.weight"]
    held = {f"scales.{k}.net.{key}": value for k, net in enumerate(nets) for key, value in net.items()}
    held |= {f"scales.{k}.amplitude": sigma for k, sigma in enumerate(sigmas)}
    held |= {f"scales.{k}.image": image for k, image in enumerate(images)} | {"scales.0.noise": noise}
    build = functools.partial(
        pyramid_generator,
        tuple((image.shape[2], image.shape[3]) for image in images),
        tuple(len(net["head.conv.weight"]) for net in nets),
        factor=factor,
        channels=head.shape[1],
        layers=_layers(nets[0]),
        kernel=head.shape[-1],
        noise_padding=noise_padding,
        reference=True,
    )
    model = filled(build, held)
    model.reads = model.writes = PixelFormat(channels=head.shape[1])  # type: ignore[assignment]
    return model


def _key(folder: Path) -> str:
    """The name of the picture: of the innermost folder that is not named by options."""
    names = [part for part in folder.resolve().parts if not part.startswith(("scale_factor=", "start_scale="))]
    return re.sub(r"[^\w.-]+", "-", names[-1]).strip("-.") or "model"


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """Put the path in front of what is raised."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
